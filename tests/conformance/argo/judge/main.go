// Argo's own word on a manifest: is it what Argo reads, and would Argo run it?
//
// Reads JSON lines {"name": ..., "manifest": "<YAML or JSON text>"} from standard input and answers each, in order, with
// one line {"name": ..., "errors": [...]}; no error is Argo's consent. One process judges any number of manifests.
//
// Two of Argo's functions are asked: the strict parser, which refuses unknown fields, and the validator, with the
// options that the controller uses when a workflow is submitted. With -version the program only says which release of
// Argo it was built from.
//
// From v4.0 to v4.1 validate.ValidateWorkflow and ValidateOpts become validate.Workflow and Opts; nothing else here
// changes but the version in go.mod.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/argoproj/argo-workflows/v4/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v4/util/logging"
	"github.com/argoproj/argo-workflows/v4/workflow/common"
	"github.com/argoproj/argo-workflows/v4/workflow/templateresolution"
	"github.com/argoproj/argo-workflows/v4/workflow/validate"
)

const (
	module       = "github.com/argoproj/argo-workflows/v4"
	lineBytesMax = 16 << 20
)

type question struct {
	Name     string `json:"name"`
	Manifest string `json:"manifest"`
}

type answer struct {
	Name   string   `json:"name"`
	Errors []string `json:"errors"`
}

func main() {
	version := flag.Bool("version", false, "print the release of Argo that judges, and exit")
	flag.Parse()
	if *version {
		fmt.Println(argoVersion())
		return
	}
	// Argo's functions panic without a logger in the context; what they log, they also return.
	ctx := logging.WithLogger(context.Background(), logging.NewSlogLoggerCustom(logging.Error, logging.Text, io.Discard))
	if err := judgeAll(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "argo-judge:", err)
		os.Exit(1)
	}
}

func judgeAll(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, lineBytesMax)
	answers := json.NewEncoder(out)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		if err := answers.Encode(answer{asked.Name, judge(ctx, []byte(asked.Manifest))}); err != nil {
			return err
		}
	}
	return lines.Err()
}

func judge(ctx context.Context, manifest []byte) []string {
	found := []string{} // not nil: JSON's [] and not its null
	objects := common.ParseObjects(ctx, manifest, true)
	if len(objects) == 0 {
		// The parser logs and drops a document that it cannot read as YAML, or that has a key twice.
		found = append(found, "no object: not YAML, or a key is there twice")
	}
	for _, object := range objects {
		if object.Err != nil {
			found = append(found, object.Err.Error())
			continue
		}
		workflow, ok := object.Object.(*v1alpha1.Workflow)
		if !ok {
			found = append(found, fmt.Sprintf("not a Workflow: %T", object.Object))
			continue
		}
		if err := validateSubmitted(ctx, workflow); err != nil {
			found = append(found, err.Error())
		}
	}
	return found
}

// A workflow can make the validator panic; a controller that meets it does as well.
func validateSubmitted(ctx context.Context, workflow *v1alpha1.Workflow) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("the validator panics: %v", reason)
		}
	}()
	return validate.ValidateWorkflow(
		ctx,
		&templateresolution.NullWorkflowTemplateNamespacedGetter{},
		&templateresolution.NullClusterWorkflowTemplateGetter{},
		workflow,
		nil,
		validate.ValidateOpts{Submit: true},
	)
}

func argoVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version
			}
		}
	}
	return "unknown"
}
