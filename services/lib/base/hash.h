/*
 * hash - the three hashes that Tern uses, each for one thing.
 *
 * hash_murmur2() is Kafka's partitioner (the Java client's; part of the wire contract: see
 * partition_of()). hash_key() is keyed SipHash-1-3 for tables whose keys come from outside.
 * Random bytes come from the kernel.
 */
#ifndef TERN_BASE_HASH_H
#define TERN_BASE_HASH_H

#include "base/slice.h"

uint32_t hash_murmur2(struct slice key);
/* The partition of a key among count, as the Java client computes it: positive murmur2 mod count. */
uint32_t partition_of(struct slice key, uint32_t count);
/* The process-wide secret is drawn at first use; results differ between processes. */
uint64_t hash_key(struct slice key);
/* SipHash-1-3 itself, of a secret that the caller holds. */
uint64_t hash_siphash13(const uint64_t secret[2], struct slice key);
/* Fills p; ends the process if the kernel has no randomness. */
void random_bytes(void *p, size_t n);
uint64_t random_u64(void);

/* base64 and base64url: appends nothing but n characters to dst, returns them; dst holds at least
 * base64_len(n) bytes, no NUL is written. Url: no padding, '-' and '_'. */
#define base64_len(n) (((n) + 2) / 3 * 4)
size_t base64_encode(const void *p, size_t n, char *dst);
size_t base64url_encode(const void *p, size_t n, char *dst);
/* Decodes leniently as Node does (either alphabet, padding optional, junk skipped) into dst, which
 * holds at least s.n * 3 / 4 + 3 bytes. Returns the count. */
size_t base64_decode_lenient(struct slice s, void *dst);
/* Strict base64url without padding: count, or -1 on any other character or a bad length. */
ptrdiff_t base64url_decode(struct slice s, void *dst, size_t cap);

/* UUID text is 36 characters, lower case, and a NUL. */
#define UUID_TEXT 37
/* Random, ordered by time (version 7). */
void uuid_v7(int64_t now_ms, char ret[UUID_TEXT]);
/* From 16 bytes of a digest: version 8, variant bits set. */
void uuid_from_digest(const uint8_t digest[16], char ret[UUID_TEXT]);
/* True if s is a UUID in text form, any case. */
bool uuid_valid(struct slice s);

#endif
