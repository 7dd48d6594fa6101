package message

import "github.com/ambient-code/git-credential-acp/internal/token"

// TokenFault is for a text at where that is no usable PAT, found without
// asking GitLab. renew says how to bring a good one.
func TokenFault(e *token.Error, where, renew string) *Message {
	m := &Message{Code: string(e.Fault), Topic: Configuration}
	switch e.Fault {
	case token.Empty:
		m.What = "the token from " + where + " is empty"
		m.Hint = "create a PAT on GitLab, then " + renew
	case token.Broken:
		m.What = "the token from " + where + " has white space or a line break within it, as from a broken paste"
		m.Hint = "copy the whole token on one line, then " + renew
	case token.OtherKind:
		m.What = "the token from " + where + " is " + e.Kind + ", not a Personal Access Token"
		m.Hint = "create a PAT with the scopes " + scopeList + ", then " + renew
	case token.Damaged:
		m.What = "the token from " + where + " is cut or mistyped: its checksum does not match"
		m.Hint = "copy the whole token, to its last character, then " + renew
	default:
		m.What = "the token from " + where + " holds characters that no token has"
		m.Hint = "see that it is the bare token, without quotes or other text, then " + renew
	}
	return m
}

const scopeList = "api, read_api, read_user and write_repository"
