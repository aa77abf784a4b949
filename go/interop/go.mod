module trunkline.dev/go/interop

go 1.25

require (
	go.uber.org/goleak v1.3.0
	golang.org/x/net v0.47.0
	trunkline.dev/go v0.0.0
)

replace trunkline.dev/go => ../
