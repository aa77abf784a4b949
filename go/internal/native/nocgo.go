//go:build !cgo

package native

const _ int = "trunkline calls a native library: build with CGO_ENABLED=1 and a C compiler"
