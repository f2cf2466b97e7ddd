// Whether an image in a registry is signed as a policy demands: the check that podman, CRI-O and skopeo make.
package main

import (
	"context"
	"fmt"
	"os"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

func main() {
	if err := check(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(policyFile, registriesFolder, name string) error {
	policy, err := signature.NewPolicyFromFile(policyFile)
	if err != nil {
		return err
	}
	rules, err := signature.NewPolicyContext(policy)
	if err != nil {
		return err
	}
	reference, err := docker.ParseReference("//" + name)
	if err != nil {
		return err
	}
	system := &types.SystemContext{
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
		RegistriesDirPath:           registriesFolder,
		DockerAuthConfig:            &types.DockerAuthConfig{Username: "forge", Password: os.Getenv("PASSWORD")},
	}
	source, err := reference.NewImageSource(context.Background(), system)
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = rules.IsRunningImageAllowed(context.Background(), image.UnparsedInstance(source, nil))
	return err
}
