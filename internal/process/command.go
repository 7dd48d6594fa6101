package process

import (
	"context"
	"os/exec"
	"time"
)

// Command is exec.CommandContext for a program that may start others, as git does.
// When ctx ends, all of them end, where the system has process groups; and none that
// is left behind keeps Wait waiting.
func Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // callers give no token in it
	cmd.WaitDelay = time.Second
	killTogether(cmd)
	return cmd
}
