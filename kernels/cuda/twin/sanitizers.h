// Which sanitizers this is compiled with: KRAIT_TWIN_ASAN, KRAIT_TWIN_TSAN.
#pragma once

#if defined(__has_feature)
#define KRAIT_TWIN_HAS(name) __has_feature(name)
#else
#define KRAIT_TWIN_HAS(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || KRAIT_TWIN_HAS(address_sanitizer)
#define KRAIT_TWIN_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || KRAIT_TWIN_HAS(thread_sanitizer)
#define KRAIT_TWIN_TSAN 1
#include <sanitizer/tsan_interface.h>
#endif
