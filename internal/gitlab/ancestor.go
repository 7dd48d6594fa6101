package gitlab

import (
	"context"
	"net/url"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Ancestor asks whether a commit is an ancestor of another, or the same, in a project's
// repository (GET /projects/:id/repository/merge_base). The answer
// counts when the reply's state is Given: not for a commit that the project does not
// have.
func (c *Client) Ancestor(ctx context.Context, project, commit, of string) (bool, access.Reply) {
	var answer struct {
		ID string `json:"id"`
	}
	query := url.Values{"refs[]": {commit, of}}
	reply := c.ask(ctx, "/projects/"+url.PathEscape(project)+"/repository/merge_base?"+query.Encode(), &answer)
	if reply.State == access.Absent {
		return false, access.Reply{State: access.Given} // no common ancestor
	}
	return reply.State == access.Given && answer.ID == commit, reply
}
