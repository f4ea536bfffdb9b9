/* A backend for Triton that answers a request with its input. The bench `peer` compiles it when it runs.
 *
 * The least that Triton lets a backend do: no object per model or instance, no statistics, one copy per request straight
 * from its input into its response. The declarations below are our own, after the documented C interface of backends;
 * nothing of Triton's is compiled in. Executions of one instance never overlap, those of two models may. */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

typedef struct TRITONSERVER_Error TRITONSERVER_Error;
typedef struct TRITONBACKEND_Input TRITONBACKEND_Input;
typedef struct TRITONBACKEND_ModelInstance TRITONBACKEND_ModelInstance;
typedef struct TRITONBACKEND_Output TRITONBACKEND_Output;
typedef struct TRITONBACKEND_Request TRITONBACKEND_Request;
typedef struct TRITONBACKEND_Response TRITONBACKEND_Response;

/* Enumerations of the interface, of which only these values are used here. */
typedef int data_type;
typedef int memory_type;
enum { MEMORY_CPU = 0, RESPONSE_FINAL = 1, REQUEST_RELEASE_ALL = 1, ERROR_UNSUPPORTED = 5 };

extern TRITONSERVER_Error *TRITONSERVER_ErrorNew(int code, const char *message);
extern void TRITONSERVER_ErrorDelete(TRITONSERVER_Error *error);
extern TRITONSERVER_Error *TRITONBACKEND_RequestInputByIndex(
    TRITONBACKEND_Request *request, uint32_t index, TRITONBACKEND_Input **input);
extern TRITONSERVER_Error *TRITONBACKEND_RequestRelease(TRITONBACKEND_Request *request, uint32_t flags);
extern TRITONSERVER_Error *TRITONBACKEND_InputProperties(
    TRITONBACKEND_Input *input, const char **name, data_type *type, const int64_t **shape, uint32_t *rank,
    uint64_t *len, uint32_t *buffers_len);
extern TRITONSERVER_Error *TRITONBACKEND_InputBuffer(
    TRITONBACKEND_Input *input, uint32_t index, const void **buffer, uint64_t *len, memory_type *type, int64_t *device);
extern TRITONSERVER_Error *TRITONBACKEND_ResponseNew(TRITONBACKEND_Response **response, TRITONBACKEND_Request *request);
extern TRITONSERVER_Error *TRITONBACKEND_ResponseOutput(
    TRITONBACKEND_Response *response, TRITONBACKEND_Output **output, const char *name, data_type type,
    const int64_t *shape, uint32_t rank);
extern TRITONSERVER_Error *TRITONBACKEND_ResponseSend(
    TRITONBACKEND_Response *response, uint32_t flags, TRITONSERVER_Error *error);
extern TRITONSERVER_Error *TRITONBACKEND_OutputBuffer(
    TRITONBACKEND_Output *output, void **buffer, uint64_t len, memory_type *type, int64_t *device);

#define EXPORT __attribute__((visibility("default")))

static atomic_uint_fast64_t executions;
static atomic_uint_fast64_t requests_answered;

/* How many executions there were so far, over all models, and how many requests they held.
 * [any thread] [never blocks] */
EXPORT void inferlay_peer_counts(uint64_t *executions_len, uint64_t *requests_len)
{
    *executions_len = atomic_load_explicit(&executions, memory_order_relaxed);
    *requests_len = atomic_load_explicit(&requests_answered, memory_order_relaxed);
}

/* Deletes an error if there is one: nobody is left to be told of it. */
static void drop(TRITONSERVER_Error *error)
{
    if (error != NULL) {
        TRITONSERVER_ErrorDelete(error);
    }
}

/* Copies the one input of a request into the one output of its response. */
static TRITONSERVER_Error *echo(TRITONBACKEND_Request *request, TRITONBACKEND_Response *response)
{
    TRITONBACKEND_Input *input;
    TRITONSERVER_Error *error = TRITONBACKEND_RequestInputByIndex(request, 0, &input);
    if (error != NULL) {
        return error;
    }
    data_type type;
    const int64_t *shape;
    uint32_t rank, buffers_len;
    uint64_t len;
    error = TRITONBACKEND_InputProperties(input, NULL, &type, &shape, &rank, &len, &buffers_len);
    if (error != NULL) {
        return error;
    }
    const void *from;
    memory_type place = MEMORY_CPU;
    int64_t device = 0;
    error = TRITONBACKEND_InputBuffer(input, 0, &from, &len, &place, &device);
    if (error != NULL) {
        return error;
    }
    if (buffers_len != 1 || place != MEMORY_CPU) {
        return TRITONSERVER_ErrorNew(ERROR_UNSUPPORTED, "expected an input in one piece, in the processor's memory");
    }
    TRITONBACKEND_Output *output;
    error = TRITONBACKEND_ResponseOutput(response, &output, "y", type, shape, rank);
    if (error != NULL) {
        return error;
    }
    void *to;
    error = TRITONBACKEND_OutputBuffer(output, &to, len, &place, &device);
    if (error != NULL) {
        return error;
    }
    memcpy(to, from, len);
    return NULL;
}

/* Called by Triton on a thread of its own. The requests are ours until they are released, the response until it is sent.
 * A request that cannot be echoed is answered with the error; without a response it goes unanswered, which the bench
 * would notice by standing still. */
EXPORT TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, const uint32_t requests_len)
{
    (void)instance;
    atomic_fetch_add_explicit(&executions, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&requests_answered, requests_len, memory_order_relaxed);
    for (uint32_t index = 0; index < requests_len; index++) {
        TRITONBACKEND_Response *response;
        TRITONSERVER_Error *error = TRITONBACKEND_ResponseNew(&response, requests[index]);
        if (error == NULL) {
            error = echo(requests[index], response);
            drop(TRITONBACKEND_ResponseSend(response, RESPONSE_FINAL, error));
        }
        drop(error);
        drop(TRITONBACKEND_RequestRelease(requests[index], REQUEST_RELEASE_ALL));
    }
    return NULL;
}
