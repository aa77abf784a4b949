/* The library says which one it is, and whether a header fits it. */
#include "check.h"

int main(void) {
  char expected[64];
  begin();
  CHECK(trunkline_abi() == TRUNKLINE_ABI, "header and library of one build agree");
  CHECK(TRUNKLINE_ABI == (TRUNKLINE_ABI_MAJOR << 16 | TRUNKLINE_ABI_MINOR), "the parts make the whole");
  OK(trunkline_abi_check(TRUNKLINE_ABI));
  OK(trunkline_abi_check((uint32_t)TRUNKLINE_ABI_MAJOR << 16));
  GIVES(TRUNKLINE_E_VERSION, trunkline_abi_check(TRUNKLINE_ABI + 1));
  GIVES(TRUNKLINE_E_VERSION, trunkline_abi_check((TRUNKLINE_ABI_MAJOR + 1) << 16));
  GIVES(TRUNKLINE_E_VERSION, trunkline_abi_check(UINT32_MAX));
  snprintf(expected, sizeof expected, "%s", TRUNKLINE_VERSION_EXPECTED);
  CHECK(strcmp(trunkline_version_string(), expected) == 0, "the version is that of the package");
  return 0;
}
