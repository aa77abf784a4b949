// Package native is the border to the library: every call into C, and nothing else.
//
// Handles cross as numbers and no Go pointer outlives a call. Except for [RuntimeShutdown], no function
// here waits: reads, writes and accepts try once, operations end as events of a [Queue].
package native

// #include "bridge.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// The library is checked against the header that this package was compiled with, before anything uses it.
func init() {
	if err := CheckABI(HeaderABI); err != nil {
		panic(err)
	}
}

// HeaderABI is the ABI of the header: major in the upper 16 bits, minor in the lower.
const HeaderABI = uint32(C.TRUNKLINE_ABI)

// CheckABI says whether a program that was compiled with the ABI header may use the library.
func CheckABI(header uint32) error {
	if C.trunkline_abi_check(C.uint32_t(header)) == C.TRUNKLINE_OK {
		return nil
	}
	loaded := uint32(C.trunkline_abi())
	return fmt.Errorf("trunkline: this program needs ABI %d.%d, the library that was loaded (version %s) has %d.%d",
		header>>16, header&0xffff, Version(), loaded>>16, loaded&0xffff)
}

// Version is the version of the library, such as "0.1.0".
func Version() string { return C.GoString(C.trunkline_version_string()) }

// chars is the form in which the bytes of a text cross; they are only read, and only during the call.
func chars(text string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text))
}

// textMax is the room for an address and its NUL, as the header promises.
const textMax = 301
