package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(cleaned{m}, cli.Name, runTest, map[string]func(){"panics": panics, "spy": spy})
}

// runTest is run with the directory of the platform's runner in a variable, since tests must
// not share the program's fixed path.
func runTest(stdout, stderr io.Writer) int {
	env := surroundings(stdout, stderr)
	env.RunnerDir = os.Getenv(scripttest.RunnerDir)
	return cli.Run(context.Background(), env, os.Args[1:])
}

// cleaned removes the built program after all tests.
type cleaned struct{ *testing.M }

func (m cleaned) Run() int {
	defer func() {
		if built.dir != "" {
			_ = os.RemoveAll(built.dir)
		}
	}()
	return m.M.Run()
}

// scripts is the directory of the test scripts; package scripttest describes their commands.
var scripts = filepath.Join(root, "testdata", "scripts")

// scriptCommands are those that need this package:
//
//	valid FILE OUTCOME [CODE]
//
// fails unless a file is what check --json is documented to print, with that
// outcome and that reason's code; validall is the same for check --all --json.
var scriptCommands = map[string]func(*testscript.TestScript, []string) error{
	"valid": func(ts *testscript.TestScript, args []string) error {
		result, err := parseCheck([]byte(ts.ReadFile(args[0])))
		if err != nil {
			return err
		}
		if want := append(args, "")[2]; result.Outcome != args[1] || result.Reason.Code != want {
			return fmt.Errorf("it ended %s, %q; want %s, %q", result.Outcome, result.Reason.Code, args[1], want)
		}
		return nil
	},
	"validall": func(ts *testscript.TestScript, args []string) error {
		document := ts.ReadFile(args[0])
		result, err := parseWith(allSchema, []byte(document))
		if want := append(args, "")[2]; err == nil && (result.Outcome != args[1] || result.Reason.Code != want) {
			return fmt.Errorf("it ended %s, %q; want %s, %q", result.Outcome, result.Reason.Code, args[1], want)
		}
		return err
	},
}

func TestScripts(t *testing.T) {
	t.Parallel()
	scripttest.Run(t, scripttest.Params{Dir: scripts, Commands: scriptCommands})
}

// The attacks run against the built program.
func TestAttacks(t *testing.T) {
	t.Parallel()
	scripttest.Run(t, scripttest.Params{Dir: attacks, Program: program(t), Commands: scriptCommands})
}
