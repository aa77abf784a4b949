/* What the C and C++ clients share: SHA-256 (FIPS 180-4), random bytes, the clock. */
#ifndef DEMO_COMMON_H
#define DEMO_COMMON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB ((size_t)1 << 20)
#define TOTAL (64 * MIB)
#define CHUNK ((size_t)64 << 10)
#define STREAMS 4
#define ROUND_TRIPS 2000

typedef struct sha256 {
  uint32_t h[8];
  uint8_t block[64];
  uint64_t length;
} sha256;

static uint32_t rotr(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static void sha256_block(sha256 *s, const uint8_t *p) {
  /* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
  static const uint32_t k[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t w[64], v[8];
  int i;
  for (i = 0; i < 16; i++)
    w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (i = 16; i < 64; i++)
    w[i] = w[i - 16] + (rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
           (rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(v, s->h, sizeof v);
  for (i = 0; i < 64; i++) {
    uint32_t e = v[4], a = v[0];
    uint32_t t1 = v[7] + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
    uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha256_init(sha256 *s) {
  /* The first 32 bits of the fractional parts of the square roots of the first 8 primes. */
  static const uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->h, h, sizeof h);
  s->length = 0;
}

static void sha256_update(sha256 *s, const uint8_t *p, size_t n) {
  while (n > 0) {
    size_t used = (size_t)(s->length % 64), part = 64 - used < n ? 64 - used : n;
    if (used == 0 && part == 64) {
      sha256_block(s, p);
    } else {
      memcpy(s->block + used, p, part);
      if (used + part == 64) sha256_block(s, s->block);
    }
    s->length += part;
    p += part;
    n -= part;
  }
}

static void sha256_hex(sha256 *s, char *hex) {
  static const uint8_t padding[64] = {0x80};
  uint64_t bits = s->length * 8;
  uint8_t tail[8];
  int i;
  sha256_update(s, padding, 1 + (size_t)((119 - s->length % 64) % 64));
  for (i = 0; i < 8; i++) tail[i] = (uint8_t)(bits >> (56 - 8 * i));
  sha256_update(s, tail, 8);
  for (i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", (unsigned)s->h[i]);
}

/* The SHA-256 of `n` bytes as 64 hexadecimal digits and a NUL. */
static void sha256_of(const uint8_t *p, size_t n, char *hex) {
  sha256 s;
  sha256_init(&s);
  sha256_update(&s, p, n);
  sha256_hex(&s, hex);
}

static void random_bytes(uint8_t *p, size_t n) {
  FILE *f = fopen("/dev/urandom", "rb");
  if (f == NULL || fread(p, 1, n, f) != n) {
    fprintf(stderr, "no random bytes\n");
    exit(1);
  }
  fclose(f);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
