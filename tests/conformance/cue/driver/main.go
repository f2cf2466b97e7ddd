// Driver answers what the reference implementation of CUE makes of configurations, thousands a second.
//
// A line of standard input is one package, a JSON object from file name to text. A line of standard output is its
// answer, in the same order: {"value": …} with what `cue export` prints, or {"error": "…"} with why it prints nothing.
// `driver version` prints the version of CUE.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
)

const lineBytesMax = 16 << 20

type answer struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(version())
		return
	}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, lineBytesMax)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		var files map[string]string
		must(json.Unmarshal(input.Bytes(), &files))
		must(output.Encode(judge(files)))
	}
	must(input.Err())
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// judge evaluates one package. A crash of the evaluator is an answer like any other refusal, told apart by its text.
func judge(files map[string]string) (result answer) {
	defer func() {
		if crash := recover(); crash != nil {
			result = answer{Error: fmt.Sprint("crash: ", crash)}
		}
	}()
	value, err := export(files)
	if err != nil {
		return answer{Error: errors.Details(err, nil)}
	}
	return answer{Value: value}
}

// export does what `cue export --out json` does with a package that imports nothing but CUE's own library.
func export(files map[string]string) (json.RawMessage, error) {
	instance := build.NewContext().NewInstance("", nil)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := instance.AddFile(name, files[name]); err != nil {
			return nil, err
		}
	}
	if err := instance.Complete(); err != nil {
		return nil, err
	}
	value := cuecontext.New().BuildInstance(instance)
	if err := value.Err(); err != nil {
		return nil, err
	}
	if err := value.Validate(cue.Concrete(true)); err != nil {
		return nil, err
	}
	return value.MarshalJSON()
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "cuelang.org/go" {
				return module.Version
			}
		}
	}
	return "unknown"
}
