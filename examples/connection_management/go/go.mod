module example.invalid/connection_management

go 1.25

require trunkline.dev/go v0.0.0

replace trunkline.dev/go => ../../../go
