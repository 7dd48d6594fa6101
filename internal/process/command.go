package process

import (
	"context"
	"os/exec"
	"time"
)

// Command is exec.CommandContext for a program that may start others, as git does. When ctx
// ends, all of them are killed, on systems with process groups, and Wait does not wait for
// any that remain.
func Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // callers give no token in it
	cmd.WaitDelay = time.Second
	killTogether(cmd)
	return cmd
}
