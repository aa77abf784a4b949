//! Listens, connects, says hello.
use trunkline_core::{ConnectionError, Network};

#[tokio::main]
async fn main() -> Result<(), ConnectionError> {
    let network = Network::new(tokio::runtime::Handle::current());
    let listener = network.listen(&"tcp://127.0.0.1:0".parse()?).await?;
    let near = network.connect(listener.address(), None).await?;
    let far = listener.accept().await?;

    near.write_all(b"hello from Rust").await?;
    let mut buf = [0; 64];
    let n = far.read(&mut buf).await?;
    println!("{}", String::from_utf8_lossy(&buf[..n]));
    Ok(()) // every stream closes when it goes out of scope
}
