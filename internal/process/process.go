// Package process hardens the process: no core dumps, no ptrace, and no output on
// standard error except the program's own messages. It also starts other programs.
package process

import "os"

// Harden closes the process, as early as possible, and gives the standard error
// for what the program has to say. From then on, whatever else writes there
// writes to nowhere: the runtime prints the value of a panic and, of every
// function that was called, its arguments, and GODEBUG makes libraries talk.
// None of that can be turned off from within when the environment asks for it.
//
// What the system does not let it do is left undone: no token is the safer for
// a program that does not run.
func Harden() *os.File { return harden() }
