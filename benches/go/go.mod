module trunkline.dev/benches

go 1.25

require (
	github.com/jackc/puddle/v2 v2.2.2
	trunkline.dev/go v0.0.0
)

require golang.org/x/sync v0.1.0 // indirect

replace trunkline.dev/go => ../../go
