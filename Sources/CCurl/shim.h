// libcurl for Swift: curl_easy_setopt and curl_easy_getinfo are variadic, so each argument type gets a wrapper of its own.
#pragma once
#define CURL_DISABLE_TYPECHECK 1
#include <curl/curl.h>

/// What a handle calls with received bytes: `count` bytes (`one` is always 1). Fewer returned than given ends the transfer.
typedef size_t (*ccurl_receive)(char *bytes, size_t one, size_t count, void *user);

static inline CURLcode ccurl_global_init(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }

static inline CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value) { return curl_easy_setopt(handle, option, value); }

static inline CURLcode ccurl_set_size(CURL *handle, CURLoption option, curl_off_t value) { return curl_easy_setopt(handle, option, value); }

/// libcurl copies the text.
static inline CURLcode ccurl_set_text(CURL *handle, CURLoption option, const char *value) { return curl_easy_setopt(handle, option, value); }

/// libcurl keeps the pointer: it must live as long as the handle uses it.
static inline CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *value) { return curl_easy_setopt(handle, option, value); }

/// libcurl keeps the list: free it after the handle.
static inline CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) { return curl_easy_setopt(handle, option, value); }

/// http and https, and nothing else that libcurl speaks.
static inline CURLcode ccurl_set_web_only(CURL *handle) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return curl_easy_setopt(handle, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/// Without it, removing a handle that still resolves a name waits for the resolver's thread; before libcurl 7.87 it always does.
static inline CURLcode ccurl_set_quick_exit(CURL *handle) {
#if LIBCURL_VERSION_NUM >= 0x075700
    return curl_easy_setopt(handle, CURLOPT_QUICK_EXIT, 1L);
#else
    (void)handle;
    return CURLE_OK;
#endif
}

static inline CURLcode ccurl_set_receive(CURL *handle, CURLoption option, ccurl_receive value) { return curl_easy_setopt(handle, option, value); }

static inline CURLcode ccurl_get_long(CURL *handle, CURLINFO info, long *value) { return curl_easy_getinfo(handle, info, value); }

static inline CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value) { return curl_multi_setopt(multi, option, value); }

/// `data` of a message is a union.
static inline CURLcode ccurl_message_result(const CURLMsg *message) { return message->data.result; }
