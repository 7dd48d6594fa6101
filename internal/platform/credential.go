package platform

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/strictjson"
)

// provider is what the platform calls GitLab.
const provider = "gitlab"

// maxID bounds an id in bytes. A KSUID has 27.
const maxID = 128

// ParseID reads an id that the control plane gives to a credential, project or session,
// usually a KSUID: letters of both cases and digits, with dashes and underscores. The
// error does not quote it.
func ParseID(text string) (Name, error) {
	switch {
	case text == "":
		return Name{}, errors.New("is not set")
	case len(text) > maxID || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
		return Name{}, errors.New("is not an id that the platform gives")
	}
	return Name{text}, nil
}

// IsKSUID reports an id as the control plane gives it to sessions
// (https://github.com/segmentio/ksuid): 27 letters and digits. No name that Kubernetes
// gives has an upper-case letter, which a KSUID all but always has.
func IsKSUID(text string) bool {
	_, err := ParseID(text)
	return err == nil && len(text) == 27 && !strings.ContainsAny(text, "-_") && strings.ToLower(text) != text
}

// CredentialOf is the id of the GitLab credential in CREDENTIAL_IDS, a JSON object from
// provider to id; false when it has none. What other providers have there does not matter.
// The error does not quote it.
func CredentialOf(ids string) (id Name, found bool, err error) {
	var all map[string]json.RawMessage
	var text string
	err = strictjson.Decode([]byte(ids), &all)
	if entry, given := all[provider]; err == nil && given {
		err = json.Unmarshal(entry, &text)
	}
	if err != nil {
		return Name{}, false, errors.New("not a JSON object from provider to credential")
	}
	if text == "" {
		return Name{}, false, nil
	}
	if id, err = ParseID(text); err != nil {
		return Name{}, false, errors.New("a JSON object whose entry for gitlab " + err.Error())
	}
	return id, true, nil
}

// credential is what the control plane says of a credential; its token and its metadata are
// at different addresses.
type credential struct {
	ID           string `json:"id"`
	CredentialID string `json:"credential_id"`
	Provider     string `json:"provider"`
	Token        string `json:"token"`
	URL          string `json:"url"`
}

// Credential asks for the token of a credential (GET …/credentials/ID/token), below a
// project or, for the zero value, below none.
func (c *Client) Credential(ctx context.Context, project, id Name) (Credentials, error) {
	found, problem := c.credential(ctx, project, id, "/token")
	switch {
	case problem != nil:
		return Credentials{}, problem
	case found.CredentialID != id.text:
		return Credentials{}, c.garbled("the token of another credential")
	case found.Token == "":
		return Credentials{}, c.garbled("no token")
	}
	return Credentials{Token: func() string { return found.Token }}, nil
}

// CredentialURL asks for the instance URL of a credential; "" when it has none.
func (c *Client) CredentialURL(ctx context.Context, project, id Name) (string, error) {
	found, problem := c.credential(ctx, project, id, "")
	if problem == nil && found.ID != id.text {
		problem = c.garbled("another credential")
	}
	if problem != nil {
		return "", problem
	}
	return strings.TrimSpace(found.URL), nil
}

// credential reads a part of a credential for GitLab. One that is not below the project may
// be global.
func (c *Client) credential(ctx context.Context, project, id Name, part string) (found credential, problem error) {
	const api = "/api/ambient/v1"
	path := "/credentials/" + id.text + part
	var got reply
	if project.text != "" {
		got, problem = c.send(ctx, request{method: http.MethodGet, path: api + "/projects/" + project.text + path})
	}
	if project.text == "" || got.status == http.StatusNotFound {
		got, problem = c.send(ctx, request{method: http.MethodGet, path: api + path})
	}
	switch {
	case got.status == http.StatusNotFound && got.errorText() != "":
		return found, errCredentialNotFound(c.platform, id.text)
	case problem != nil:
		return found, problem
	case got.status != http.StatusOK:
		return found, c.unknown(got)
	case strictjson.Decode(got.body, &found) != nil:
		return credential{}, c.garbled("no credential")
	case found.Provider != provider:
		return credential{}, c.garbled("a credential that is not for GitLab")
	}
	return found, nil
}
