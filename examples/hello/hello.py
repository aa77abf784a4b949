import trunkline

with (
    trunkline.listen("tcp://127.0.0.1:0") as listener,
    trunkline.connect(listener.getsockname()) as near,
    listener.accept() as far,
):
    near.sendall(b"hello from Python")
    print(far.recv(64).decode())
