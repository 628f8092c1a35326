/* SPDX-License-Identifier: BSL-1.0
 *
 * The C++ side of epoque-stress-crosslang, as Go sees it: crews of native threads that call epq_* on the handle numbers
 * of objects which the Go package made. A crew is started, stopped or left to end by itself (its objects are closed),
 * joined, asked for what it found, and freed. No function throws or calls back.
 *
 * The record types below are the elements that cross: both languages use these declarations and no others.
 */
#ifndef EPOQUE_STRESS_CROSSLANG_WORKERS_H
#define EPOQUE_STRESS_CROSSLANG_WORKERS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what crosses ------------------------------------------------------------------------------------------------- */

/* A "word" below is a run of [A-Za-z0-9_] as long as it can be; an identifier is what is left of a word without its
 * leading digits. A file is cut between words, so that no chunk splits one, with one exception: a word that is longer
 * than XL_CHUNK_BYTES travels alone, as consecutive fragments. */
#define XL_CHUNK_BYTES 4048

#define XL_CHUNK_FRAGMENT 1u      /* payload is a piece of one long word, which begins at word_start */
#define XL_CHUNK_LAST_FRAGMENT 2u /* ... and the last piece of it */

/* C++ -> Go: a piece of a file. */
typedef struct xl_chunk {
    uint64_t sequence;   /* 0, 1, 2 ... per producer */
    uint64_t offset;     /* of payload[0] in the file */
    uint64_t word_start; /* fragments: offset of their word in the file */
    uint32_t producer;   /* the reading thread */
    uint32_t file;       /* index in the list of files */
    uint32_t length;     /* bytes of payload */
    uint32_t flags;      /* XL_CHUNK_ */
    uint64_t reserved;   /* zero */
    uint8_t payload[XL_CHUNK_BYTES];
} xl_chunk;

#define XL_TEXT_BYTES 80

#define XL_COUNT_PART 1u      /* text is one part of a long word, which begins at word_start */
#define XL_COUNT_LAST_PART 2u /* ... and the last part of it */

/* Go -> C++: how often one identifier occurs in one chunk; or, for a word that does not fit, a part of one occurrence. */
typedef struct xl_count {
    uint64_t sequence;    /* 0, 1, 2 ... per producer */
    uint64_t word_start;  /* parts: offset of the word in the file */
    uint64_t part_offset; /* parts: of text[0] in the word */
    uint32_t producer;    /* the counting goroutine */
    uint32_t file;        /* index in the list of files */
    uint32_t count;       /* occurrences; parts: 1 */
    uint32_t length;      /* bytes of text */
    uint32_t flags;       /* XL_COUNT_ */
    uint32_t reserved;    /* zero */
    uint8_t text[XL_TEXT_BYTES];
} xl_count;

/* Both directions of `echo`. */
typedef struct xl_message {
    uint64_t sequence;     /* 0, 1, 2 ... per producer */
    uint64_t hop_sequence; /* 0, 1, 2 ... per mover */
    uint32_t producer;
    uint32_t mover;
    uint64_t seal; /* xl_seal(producer, sequence): tells a torn or overwritten record */
} xl_message;

/* ---- crews -------------------------------------------------------------------------------------------------------- */

typedef struct xl_crew xl_crew;

#define XL_TEXT 240

typedef struct xl_trouble {
    char text[XL_TEXT]; /* a sentence; empty: none */
} xl_trouble;

typedef struct xl_plan {
    uint64_t seed;      /* of batch sizes and pauses */
    uint64_t depth;     /* a sender waits while the object holds more elements than this */
    uint32_t threads;   /* 1 or more */
    uint32_t producers; /* how many number themselves at the other end of the object received from */
} xl_plan;

/* What the receivers of a crew saw. */
typedef struct xl_findings {
    uint64_t received;
    uint64_t checked;             /* compared with the order of their producer */
    uint64_t disordered;          /* came at one receiver after a later one of the same producer */
    uint64_t foreign;             /* no producer can have sent this: torn, overwritten, never written */
    uint64_t duplicates;          /* came twice */
    uint64_t missing;             /* never came */
    char first[XL_TEXT];          /* the first that is missing, twice or foreign, in words; empty: none */
    char first_disorder[XL_TEXT]; /* the first that is out of order, in words; empty: none */
} xl_findings;

typedef enum xl_state {
    XL_NOT_READ = 0,    /* its turn never came */
    XL_READ = 1,        /* to its end */
    XL_OPEN_FAILED = 2, /* error says why */
    XL_READ_FAILED = 3, /* after `bytes` of it; error says why */
    XL_NOT_REGULAR = 4, /* a folder, device, socket or pipe when it was opened */
    XL_CUT = 5          /* the crew was told to stop after `bytes` of it */
} xl_state;

/* What became of one file. */
typedef struct xl_file {
    uint64_t bytes;
    uint64_t digest; /* FNV-1a, 64 bit, of these bytes */
    uint32_t chunks;
    uint32_t state; /* xl_state */
    int32_t error;  /* errno */
    uint32_t reserved;
} xl_file;

/* The counts of one file, in three numbers: equal counts have equal tallies, and other counts have other tallies but
 * for one case in 2^64. */
typedef struct xl_tally {
    uint64_t identifiers; /* occurrences */
    uint64_t bytes;       /* of all occurrences */
    uint64_t mix;         /* sum over all occurrences of xl_name_mix(identifier), modulo 2^64 */
} xl_tally;

/* Each _start returns NULL and fills `trouble` when threads or memory are missing. */

/* Threads that read files and send chunks to a queue. `paths`: `files` paths, each with its NUL, one after the other. */
xl_crew* xl_readers_start(uint64_t queue, const xl_plan* plan, const char* paths, size_t files, xl_trouble* trouble);
/* After the join: one entry per file. */
void xl_readers_files(const xl_crew* readers, xl_file* out, size_t files);

/* Threads that receive counts from a stack and add them up, until it is closed and drained. */
xl_crew* xl_mergers_start(uint64_t stack, const xl_plan* plan, size_t files, xl_trouble* trouble);
/* After the join, once: joins the parts of long words, adds the threads' counts up. False: `trouble` says why. */
int xl_mergers_finish(xl_crew* mergers, xl_trouble* trouble);
/* After _finish: one entry per file. */
void xl_mergers_tallies(const xl_crew* mergers, xl_tally* out, size_t files);
/* After _finish: the identifiers in order of frequency, ties in byte order. `text` is not copied: valid until _free. */
size_t xl_mergers_distinct(const xl_crew* mergers);
uint64_t xl_mergers_entry(const xl_crew* mergers, size_t rank, const char** text, size_t* length);

/* Threads that send messages to a queue until it is closed, stamped as producers 0 to threads - 1. */
xl_crew* xl_senders_start(uint64_t queue, const xl_plan* plan, xl_trouble* trouble);

/* Threads that move messages from one queue to another, stamped as movers 0 to threads - 1, until the first is closed
 * and drained. */
xl_crew* xl_movers_start(uint64_t from, uint64_t to, const xl_plan* plan, xl_trouble* trouble);

/* Threads that receive messages until the queue is closed and drained. plan->producers: the senders. */
xl_crew* xl_receivers_start(uint64_t queue, const xl_plan* plan, uint32_t movers, xl_trouble* trouble);

/* Asks the threads to end soon. Any time. */
void xl_crew_stop(xl_crew* crew);
/* Waits until all threads have ended. */
void xl_crew_join(xl_crew* crew);
/* What a thread of the crew could not go on for, at any time. False: nothing. */
int xl_crew_trouble(xl_crew* crew, xl_trouble* out);
/* Elements sent (readers, senders) or received (mergers, movers, receivers) so far, and payload bytes; any time. */
uint64_t xl_crew_elements(const xl_crew* crew);
uint64_t xl_crew_thread_elements(const xl_crew* crew, uint32_t thread);
uint64_t xl_crew_bytes(const xl_crew* crew);
/* After the join. `sent[p]`: elements that producer p got accepted; NULL: `missing` is not looked at. */
void xl_crew_findings(xl_crew* crew, const uint64_t* sent, size_t producers, xl_findings* out);
/* Stops, joins, frees. NULL is allowed. */
void xl_crew_free(xl_crew* crew);

/* ---- small ones --------------------------------------------------------------------------------------------------- */

uint64_t xl_seal(uint32_t producer, uint64_t sequence);
uint64_t xl_name_mix(const char* text, size_t length);
/* What a native thread is told about a handle: the epq_status of a receive without waiting. */
int32_t xl_probe_queue(uint64_t queue, size_t element_size);
int32_t xl_probe_stack(uint64_t stack, size_t element_size);
/* The compiler of the C++ side. */
const char* xl_compiler(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* EPOQUE_STRESS_CROSSLANG_WORKERS_H */
