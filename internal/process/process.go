// Package process hardens the process: no core dumps, no ptrace, and no output on standard
// error except the program's own messages. It also starts other programs.
package process

import "os"

// Harden hardens the process, and returns the standard error for the program's messages.
// Other writes to standard error are discarded from then on: the runtime prints the value
// of a panic and the arguments of functions, and GODEBUG makes libraries log, which can't be
// turned off otherwise.
//
// Errors are ignored: not running would not make the token safer.
func Harden() *os.File { return harden() }
