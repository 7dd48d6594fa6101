package message

import "github.com/ambient-code/git-credential-acp/internal/token"

// TokenFault is for a text at where that can't be a PAT, found without asking GitLab.
// renew says how to store a new one.
func TokenFault(e *token.Error, where, renew string) error {
	m := &Error{Code: string(e.Fault), Topic: Configuration, What: "the token from " + where + " " + e.Error()}
	switch e.Fault {
	case token.Empty:
		m.Hint = "create a PAT on GitLab"
	case token.Broken:
		m.What += ", probably from a bad paste"
		m.Hint = "copy the whole token on one line"
	case token.OtherKind, token.Placeholder:
		m.Hint = "create a PAT with the scopes " + ScopeList
	case token.Damaged:
		m.Hint = "copy the whole token"
	case token.Quoted:
		m.Hint = "remove the " + e.Kind
	case token.Variable:
		m.Hint = "check that the program that writes it expands variables"
	case token.Wrapped:
		m.Hint = "copy the token alone, without other text"
	case token.Encoded:
		m.Hint = "use the token itself (a Secret's stringData and kubectl's --from-literal take it unencoded)"
	case token.UTF16:
		m.Hint = "save it as UTF-8 or ASCII (Windows PowerShell and Notepad may write UTF-16)"
	case token.Path:
		m.Hint = "to read the token from that file, name it in ACP_GITLAB_TOKEN_FILE or with --token-file; otherwise copy the token itself"
	default:
		m.Hint = "check that it is the bare token, without other text"
	}
	m.Hint += ", then " + renew
	return m
}

// ScopeList is the default required scopes as text.
const ScopeList = "api, read_api, read_user and write_repository"
