#include <iostream>
#include "trunkline.hpp"

int main() {
  try {
    trunkline::Listener listener("tcp://127.0.0.1:0");
    trunkline::Stream near = trunkline::Stream::connect(listener.address());
    trunkline::Stream far = listener.accept();

    near.write_all("hello from C++");
    char buf[64];
    std::size_t n = far.read(buf, sizeof buf);
    std::cout << std::string(buf, n) << std::endl;
  } catch (const trunkline::Error &error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }  // every stream closes when it goes out of scope
}
