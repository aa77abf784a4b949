module example.invalid/tunnel

go 1.25

require trunkline.dev/go v0.0.0

replace trunkline.dev/go => ../../../go
