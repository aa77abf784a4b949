// Package interop shows in tests that the connections and listeners of Trunkline are those that the rest of the Go
// world expects. It is a module of its own, so that users of Trunkline inherit none of what it needs.
package interop
