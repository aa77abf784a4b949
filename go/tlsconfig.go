package trunkline

import (
	"encoding/json"
	"fmt"
)

// TlsConfig says how connections to and from addresses of network "tls" are secured. The zero TlsConfig is a client
// that trusts whom the system trusts.
//
// Files are read by [Runtime.NewTls], and again when they change. There is no way to leave the peer's certificate
// unchecked; trust a private authority by its certificate. Sessions are never resumed: each handshake checks both sides
// against what is in force now.
type TlsConfig struct {
	// Client is for connecting. Default: system roots and no certificate of our own, unless only Server is given.
	Client *TlsClientConfig `json:"client,omitzero"`
	// Server is for listening. Default: none, so that nobody can be let in.
	Server *TlsServerConfig `json:"server,omitzero"`
	// MinVersion is the oldest version that is spoken, "1.2" or "1.3". Default: "1.2".
	MinVersion string `json:"min_version,omitzero"`
	// ReloadInterval is the time between two looks at the files for a change. Default: 1 min. Limits: 1 ms to 365 days, or
	// never.
	ReloadInterval TimeLimit `json:"reload_interval,omitzero"`
	// CloseTimeout is the time that a connection which was closed gets to send what was written to it before, and the
	// end. Default: 5 s. Limits: zero to 365 days.
	CloseTimeout TimeLimit `json:"close_timeout,omitzero"`
}

// TlsClientConfig is the client's side of a [TlsConfig].
type TlsClientConfig struct {
	// Roots are whose certificates are trusted. Default: those of the system.
	Roots Pem `json:"roots,omitzero"`
	// ServerName is asked for, and what the server's certificate must be for. Default: the host of the address.
	ServerName string `json:"server_name,omitzero"`
	// Alpn are application protocols, the preferred one first. Default: none. Limits: at most 16, each of 1 to 255 bytes.
	Alpn []string `json:"alpn,omitzero"`
	// Certificate is shown to servers that ask who we are. Default: none.
	Certificate *TlsCertificate `json:"certificate,omitzero"`
}

// TlsServerConfig is the server's side of a [TlsConfig].
type TlsServerConfig struct {
	// Certificate is shown to clients. Required.
	Certificate TlsCertificate `json:"certificate"`
	// ClientAuth says whether clients have to show who they are. Default: [ClientAuthOff].
	ClientAuth ClientAuth `json:"client_auth,omitzero"`
	// ClientRoots are whose certificates are trusted of clients; needed unless ClientAuth is off.
	ClientRoots Pem `json:"client_roots,omitzero"`
	// Alpn are application protocols, the preferred one first. A client that asks for others only is refused. Default:
	// none. Limits: at most 16, each of 1 to 255 bytes.
	Alpn []string `json:"alpn,omitzero"`
	// HandshakeTimeout is the time for a handshake, from the accept on. Default: 10 s. Limits: 1 ms to 365 days.
	HandshakeTimeout TimeLimit `json:"handshake_timeout,omitzero"`
	// MaxHandshakes is how many connections of one listener are in a handshake, or through it and not accepted yet; others
	// wait in the backlog. Default: 128. Limits: 1 to 65535.
	MaxHandshakes uint32 `json:"max_handshakes,omitzero"`
}

// ClientAuth says whether clients have to show who they are.
type ClientAuth string

// The ways.
const (
	ClientAuthOff      ClientAuth = "off"      // they are not asked
	ClientAuthOptional ClientAuth = "optional" // who shows nothing is let in, who shows a bad certificate is not
	ClientAuthRequired ClientAuth = "required" // who shows no good certificate is refused
)

// TlsCertificate is a certificate with its key.
type TlsCertificate struct {
	// Chain is the certificate, followed by those that lead to the root.
	Chain Pem `json:"chain"`
	// Key is its private key, unencrypted: PKCS#8, PKCS#1 or SEC1.
	Key Pem `json:"key"`
}

// Pem says where certificates or a key are. Made by [PemFile] or [PemText]; the zero Pem is none.
type Pem struct{ file, text string }

// PemFile is a PEM file, which is read anew when it changes.
func PemFile(path string) Pem { return Pem{file: path} }

// PemText is a text in PEM, which is shown nowhere: neither by String nor in JSON.
func PemText(text string) Pem { return Pem{text: text} }

// IsZero says whether it is unset, so that the JSON option omitzero leaves it out.
func (p Pem) IsZero() bool { return p == Pem{} }

// String is the path, or "[redacted]" for a text.
func (p Pem) String() string {
	if p.text != "" {
		return redacted
	}
	return p.file
}

// GoString is as String.
func (p Pem) GoString() string { return fmt.Sprintf("trunkline.Pem(%s)", p) }

// MarshalJSON writes where it is; of a text, that there is one.
func (p Pem) MarshalJSON() ([]byte, error) {
	if p.text != "" {
		return json.Marshal(map[string]string{"pem": redacted})
	}
	return json.Marshal(map[string]string{"file": p.file})
}

const redacted = "[redacted]"

// document is the configuration for the library, with the texts that are shown nowhere else.
func (c TlsConfig) document() (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return "", err
	}
	if client := c.Client; client != nil {
		client.Roots.reveal(tree, "client", "roots")
		if client.Certificate != nil {
			client.Certificate.reveal(tree, "client", "certificate")
		}
	}
	if server := c.Server; server != nil {
		server.ClientRoots.reveal(tree, "server", "client_roots")
		server.Certificate.reveal(tree, "server", "certificate")
	}
	text, err = json.Marshal(tree)
	return string(text), err
}

func (c TlsCertificate) reveal(tree map[string]any, path ...string) {
	c.Chain.reveal(tree, append(path, "chain")...)
	c.Key.reveal(tree, append(path, "key")...)
}

// reveal puts the text in where the tree holds its stand-in.
func (p Pem) reveal(tree map[string]any, path ...string) {
	if p.text == "" {
		return
	}
	for _, key := range path {
		tree = tree[key].(map[string]any)
	}
	tree["pem"] = p.text
}
