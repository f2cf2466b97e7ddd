// Pulls an artifact as Flux does, with its own library, into a folder, and prints the revision that it would report.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/pkg/oci"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: flux-pull REFERENCE FOLDER")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	pulled, err := oci.NewClient(oci.DefaultOptions()).Pull(ctx, os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(pulled.Digest)
	fmt.Println(pulled.Revision)
	fmt.Println(pulled.Created)
}
