/* Failures: errno, and the sentence behind DMI_error(). */
#include "guest.h"

static char sentence[512] = "no DMI call has failed in this thread";
static int ask_host; /* the sentence is still with the host: fetched when somebody wants it */

int32_t dmi_fail(int error, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(sentence, sizeof sentence, format, list);
  va_end(list);
  ask_host = 0;
  errno = error;
  return FALSE;
}

int32_t dmi_fail_host(int64_t result) {
  ask_host = 1;
  errno = (int)-result;
  return FALSE;
}

const char *DMI_error(void) {
  if (ask_host) {
    int saved = errno;
    struct dmi_gate_text text = {sentence, (int64_t)sizeof sentence};
    sentence[0] = 0;
    if (DMI_GATE->call(DMI_G_ERROR, &text) < 0 || sentence[0] == 0)
      snprintf(sentence, sizeof sentence, "the call failed: %s", strerror(saved));
    ask_host = 0;
    errno = saved;
  }
  return sentence;
}
