/* SPDX-License-Identifier: Apache-2.0
 *
 * base: errors, untrusted bytes, buffers, files, hashes, threads, random
 * numbers, Unicode, and thin wrappers over libyaml, jansson, PCRE2, utf8proc
 * and libsodium.  Knows nothing of networks.  No foreign type leaves here.
 */
#ifndef NNR_BASE_H
#define NNR_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "nnr.h"

#if defined(__GNUC__)
#define NNR__PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define NNR__PRINTF(a, b)
#endif

/* ---- errors (err.c) ---- */

/* Fills *err (may be NULL) and returns code, so `return nnr__fail(...)`. */
int nnr__fail(nnr_error *err, int code, const char *fmt, ...)
	NNR__PRINTF(3, 4);
/* The same with a byte offset, which is appended as " at byte N". */
int nnr__fail_at(nnr_error *err, int code, uint64_t offset,
		 const char *fmt, ...) NNR__PRINTF(4, 5);
/* Out of memory, naming what was to be allocated. */
int nnr__fail_memory(nnr_error *err, const char *what, size_t bytes);
/* Puts "prefix: " before the message there is; returns err->code. */
int nnr__err_prefix(nnr_error *err, const char *fmt, ...) NNR__PRINTF(2, 3);
/* True once nnr_interrupt() was called. */
bool nnr__interrupted(void);

/* ---- checked arithmetic (checked.h part): false on overflow ---- */
static inline bool nnr__mul_ok(size_t a, size_t b, size_t *out)
{
	*out = a * b;
	return a == 0 || *out / a == b;
}
static inline bool nnr__add_ok(size_t a, size_t b, size_t *out)
{
	*out = a + b;
	return *out >= a;
}

/* ---- cursor over untrusted bytes (cursor.c); sticky error ---- */
typedef struct nnr__cur {
	const uint8_t *base, *p, *end;
	bool bad;	/* a read ran past the end; later reads give zero */
} nnr__cur;

nnr__cur nnr__cur_init(const void *data, size_t size);
size_t nnr__cur_pos(const nnr__cur *c);		/* bytes from base */
size_t nnr__cur_left(const nnr__cur *c);
uint8_t nnr__take_u8(nnr__cur *c);
uint16_t nnr__take_u16(nnr__cur *c);		/* little endian, as all */
uint32_t nnr__take_u32(nnr__cur *c);
uint64_t nnr__take_u64(nnr__cur *c);
float nnr__take_f32(nnr__cur *c);
double nnr__take_f64(nnr__cur *c);
/* n bytes in place, or NULL and bad. */
const uint8_t *nnr__take_bytes(nnr__cur *c, size_t n);

/* ---- growing buffer (buf.c); sticky error; always NUL-terminated ---- */
typedef struct nnr__buf {
	char *p;	/* NULL while empty */
	size_t len, cap;
	bool bad;	/* an allocation failed; later adds do nothing */
} nnr__buf;

void nnr__buf_add(nnr__buf *b, const void *bytes, size_t n);
void nnr__buf_adds(nnr__buf *b, const char *s);
void nnr__buf_addc(nnr__buf *b, char c);
void nnr__buf_addf(nnr__buf *b, const char *fmt, ...) NNR__PRINTF(2, 3);
/* A JSON string literal with its quotes; bytes that are not UTF-8 become
 * U+FFFD. */
void nnr__buf_add_json(nnr__buf *b, const char *s, size_t n);
/* Shortest decimal that reads back as the same double; null if not finite. */
void nnr__buf_add_num(nnr__buf *b, double v);
void nnr__buf_clear(nnr__buf *b);		/* keeps the memory */
void nnr__buf_release(nnr__buf *b);
/* Hands the string over (malloc'd, "" for empty); NULL if bad. */
char *nnr__buf_take(nnr__buf *b);

/* ---- memory (mem.c) ---- */
void *nnr__calloc(size_t n, size_t size);	/* NULL on overflow or none */
/* 64-byte aligned, not zeroed; free with nnr__aligned_free. */
void *nnr__aligned(size_t bytes);
void nnr__aligned_free(void *p);
char *nnr__strdup(const char *s);
char *nnr__strndup(const char *s, size_t n);
/* Grows *p (elements of size) so that index n is valid; the new ones are
 * zero.  False if there is no memory. */
bool nnr__grow(void *p, size_t *cap, size_t n, size_t size);

/* A bump allocator for many small things with one lifetime (arena.c). */
typedef struct nnr__arena {
	struct nnr__arena_block *head;
} nnr__arena;
void *nnr__arena_alloc(nnr__arena *a, size_t bytes);	/* zeroed; or NULL */
char *nnr__arena_strndup(nnr__arena *a, const char *s, size_t n);
void nnr__arena_release(nnr__arena *a);

/* ---- files (file.c) ---- */
typedef struct nnr__map {
	const uint8_t *data;
	size_t size;
} nnr__map;

/* Maps a regular file read-only.  An empty file gives data NULL, size 0. */
int nnr__map_open(nnr__map *m, const char *path, nnr_error *err);
void nnr__map_close(nnr__map *m);
/* Reads a whole file of at most max bytes; "-" is stdin. */
int nnr__file_read(nnr__buf *out, const char *path, size_t max,
		   nnr_error *err);
/* "cannot DOING 'PATH': REASON" from errno: NNR_E_INPUT for a place that is
 * not there, else NNR_E_IO. */
int nnr__fail_io(nnr_error *err, const char *doing, const char *path);

/* ---- replacing files (write.c) ---- */
/* Writes path.tmp.<pid>, fsyncs, renames; on failure path is untouched.  What
 * a link points to is replaced, not the link; a device or pipe is written to
 * in place. */
int nnr__file_write(const char *path, const void *data, size_t n,
		    nnr_error *err);
/* The same for several pieces, in order. */
typedef struct { const void *data; size_t size; } nnr__piece;
int nnr__file_write_pieces(const char *path, const nnr__piece *piece, int n,
			   nnr_error *err);
/* The same for what comes bit by bit.  A failed open needs no close; close
 * with `keep` false leaves path untouched. */
typedef struct nnr__sink {
	int fd;
	char *path, *temp;
	bool in_place;
} nnr__sink;
int nnr__sink_open(nnr__sink *s, const char *path, nnr_error *err);
int nnr__sink_add(nnr__sink *s, const void *data, size_t n, nnr_error *err);
int nnr__sink_close(nnr__sink *s, bool keep, nnr_error *err);

/* ---- paths and folders (file.c) ---- */
bool nnr__file_exists(const char *path);
/* Makes the folders of path that are missing, for the user only (0700). */
int nnr__mkdirs(const char *path, nnr_error *err);
/* dir/rel, or rel when it is absolute; malloc'd. */
char *nnr__path_join(const char *dir, const char *rel);
char *nnr__path_dir(const char *path);		/* malloc'd; "." if none */
/* $NNR_CACHE, or $XDG_CACHE_HOME/nnr, or ~/.cache/nnr (malloc'd); NULL
 * without a home. */
char *nnr__cache_dir(void);
/* $NNR_CONFIG, or $XDG_CONFIG_HOME/nnr, or ~/.config/nnr (the same). */
char *nnr__config_dir(void);
/* A cache folder: marks a file as used now; removes the longest unused files
 * with this suffix until the rest are within max_bytes (trim.c). */
void nnr__cache_touch(const char *path);
void nnr__cache_trim(const char *dir, const char *suffix, size_t max_bytes);
double nnr__now(void);				/* monotonic seconds */
size_t nnr__peak_rss(void);
/* Starts the peak again from what is resident, where the system can. */
void nnr__peak_reset(void);			/* bytes */

/* ---- SHA-256 (hash.c, libsodium) ---- */
typedef struct nnr__sha { _Alignas(8) unsigned char opaque[128]; } nnr__sha;
void nnr__sha_init(nnr__sha *s);
void nnr__sha_add(nnr__sha *s, const void *data, size_t n);
void nnr__sha_end(nnr__sha *s, char hex[65]);
void nnr__sha_of(const void *data, size_t n, char hex[65]);
/* A 64-bit key of bytes for tables and the counter RNG (not cryptographic,
 * the same on every machine). */
uint64_t nnr__hash64(const void *data, size_t n, uint64_t seed);

/* ---- threads (pool.c) ---- */
typedef struct nnr__pool nnr__pool;
/* threads <= 0: the CPUs this process may use. */
int nnr__pool_new(nnr__pool **p, int threads, nnr_error *err);
void nnr__pool_free(nnr__pool *p);
int nnr__pool_threads(const nnr__pool *p);
/* Runs fn(ctx, id) for id 0..threads-1, id 0 on the caller; returns when all
 * have.  Workers spin briefly, then sleep.  fn must not call it. */
void nnr__pool_run(nnr__pool *p, void (*fn)(void *ctx, int id), void *ctx);
/* Inside fn: waits until every thread of the run is here. */
void nnr__pool_barrier(nnr__pool *p, int id);

/* ---- random numbers (rng.c): a counter RNG, no hidden state ---- */
/* 64 random bits of (seed, stream, index): the same everywhere. */
uint64_t nnr__rng_u64(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0, 1), 53 bits. */
double nnr__rng_uniform(uint64_t seed, uint64_t stream, uint64_t index);
/* Fisher-Yates over 0..n-1 with stream s of the seed. */
void nnr__rng_shuffle(uint32_t *perm, uint32_t n, uint64_t seed, uint64_t s);

/* ---- Unicode (unicode.c, utf8proc) ---- */
/* Decodes one code point at s (n > 0 bytes left) and stores its length; an
 * invalid byte gives -1 with length 1. */
int32_t nnr__utf8_next(const char *s, size_t n, size_t *len);
int nnr__utf8_put(int32_t cp, char out[4]);	/* bytes written */
/* Offset of the first invalid byte, or n when all is valid. */
size_t nnr__utf8_valid(const char *s, size_t n);
/* Longest prefix of s that does not end within a code point. */
size_t nnr__utf8_whole(const char *s, size_t n);
bool nnr__is_letter(int32_t cp);		/* \p{L} */
bool nnr__is_number(int32_t cp);		/* \p{N} */
bool nnr__is_space(int32_t cp);			/* \s with Unicode property
						   White_Space */

/* ---- YAML (yaml.c, libyaml): scalars, maps, lists, nothing else ---- */
typedef enum { NNR__Y_SCALAR, NNR__Y_MAP, NNR__Y_LIST } nnr__ykind;
typedef struct nnr__ynode nnr__ynode;
struct nnr__ynode {
	nnr__ykind kind;
	uint32_t line, col;	/* from 1 */
	const char *key;	/* inside a map: the key, else NULL */
	uint32_t key_line, key_col;
	const char *text;	/* scalar: NUL-terminated UTF-8 */
	size_t len;
	bool quoted;		/* written with quotes or as a block */
	nnr__ynode *child;	/* map, list: first child, in file order */
	nnr__ynode *next;	/* next sibling */
	uint32_t count;		/* children */
};
typedef struct nnr__yaml {
	nnr__arena arena;
	nnr__ynode **doc;	/* the documents of the stream */
	int count;
} nnr__yaml;

/* name is used in messages (name:line:column).  Refuses anchors, aliases,
 * tags, merge keys, duplicate keys, NUL bytes, invalid UTF-8 (with line and
 * column), depth > 32, size > 1 MiB, more than 20,000 nodes. */
int nnr__yaml_parse(nnr__yaml *y, const char *name, const char *text,
		    size_t n, nnr_error *err);
void nnr__yaml_release(nnr__yaml *y);
const nnr__ynode *nnr__yaml_get(const nnr__ynode *map, const char *key);

/* ---- JSON (json.c, jansson) ---- */
typedef enum {
	NNR__J_NULL, NNR__J_BOOL, NNR__J_NUMBER, NNR__J_STRING,
	NNR__J_ARRAY, NNR__J_OBJECT
} nnr__jkind;
typedef struct nnr__jnode nnr__jnode;
struct nnr__jnode {
	nnr__jkind kind;
	const char *key;	/* inside an object */
	const char *text;	/* string */
	size_t len;
	double num;		/* number; bool: 0 or 1 */
	bool integer;		/* a number written as an integer */
	nnr__jnode *child, *next;
	uint32_t count;
};
/* Parses one document into the arena.  Refuses invalid UTF-8, duplicate
 * keys, depth > 64, more than 4 million values; \u0000 in a string is a byte
 * of it (len, not strlen).  Message: name:line:column: what. */
int nnr__json_parse(nnr__arena *a, const nnr__jnode **out, const char *name,
		    const char *text, size_t n, nnr_error *err);
const nnr__jnode *nnr__json_get(const nnr__jnode *obj, const char *key);

/* ---- regular expressions (regex.c, PCRE2 with match limits) ---- */
typedef struct nnr__regex nnr__regex;
int nnr__regex_new(nnr__regex **r, const char *pattern, nnr_error *err);
void nnr__regex_free(nnr__regex *r);
/* First match at or after byte `from`: 1 and the span of group 1 (of the
 * whole match when there is no group) in *start, *end and the end of the
 * whole match in *next (which is `from` for an empty one: step on); a group
 * that took no part is empty; 0 none; negative when a limit was hit.  Threads
 * may share a regex. */
int nnr__regex_match(const nnr__regex *r, const char *s, size_t n,
		     size_t from, size_t *start, size_t *end, size_t *next,
		     nnr_error *err);

/* Edit distance for "did you mean"; the nearest of names within a third of
 * its length, or NULL (names ends with NULL). */
const char *nnr__nearest(const char *word, const char *const *names);

#endif
