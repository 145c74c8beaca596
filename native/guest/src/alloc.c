/* The DMI_malloc family: each block is a mapping of its own, because the caller chooses its page size.
 *
 *   base                      addr = base + lead
 *   | lead pages: ... header | the block's pages, page-aligned relative to addr ... |
 *
 * The header ends right before addr, so a block is found from its address alone, on any node.
 */
#include "guest.h"

struct block {
  int64_t mark;
  int64_t base;      /* what DMI_mmap gave */
  int64_t size;      /* bytes asked for */
  int64_t page_size; /* bytes */
};

static int64_t pages_for(int64_t size, int64_t page_size) { return size / page_size + (size % page_size != 0); }

int32_t DMI_malloc(int64_t *addr, int64_t size, int64_t page_size) {
  if (addr == NULL || size < 0 || page_size <= 0)
    return dmi_fail(EINVAL, "DMI_malloc of %lld bytes in pages of %lld", (long long)size, (long long)page_size);
  int64_t lead = pages_for(sizeof(struct block), page_size);
  int64_t body = pages_for(MAX(size, 1), page_size);
  if (body > INT64_MAX / page_size - lead) return dmi_fail(ENOMEM, "DMI_malloc of %lld bytes", (long long)size);
  struct block block = {.size = size, .page_size = page_size};
  if (!DMI_mmap(&block.base, page_size, lead + body, NULL)) return FALSE;
  int64_t start = block.base + lead * page_size;
  block.mark = dmi_mark(DMI_IS_BLOCK, start);
  if (!dmi_put(start - (int64_t)sizeof block, sizeof block, &block)) return FALSE;
  *addr = start;
  return TRUE;
}

static int32_t find(int64_t addr, struct block *block) {
  if (addr <= (int64_t)sizeof *block || !dmi_get(addr - (int64_t)sizeof *block, sizeof *block, block) ||
      block->mark != dmi_mark(DMI_IS_BLOCK, addr))
    return dmi_fail(EINVAL, "%lld is not an address that DMI_malloc gave", (long long)addr);
  return TRUE;
}

int32_t DMI_free(int64_t addr) {
  if (addr == DMI_NULL) return TRUE;
  struct block block;
  return find(addr, &block) && DMI_munmap(block.base, NULL);
}

static int32_t copy(int64_t to, int64_t from, int64_t size) {
  int64_t step = MIN(size, 1 << 20);
  char *buf = malloc((size_t)step);
  if (buf == NULL) return dmi_fail(ENOMEM, "no memory for a copy buffer of %lld bytes", (long long)step);
  int32_t ok = TRUE;
  for (int64_t at = 0; ok && at < size; at += step) {
    int64_t n = MIN(step, size - at);
    ok = dmi_get(from + at, n, buf) && dmi_put(to + at, n, buf);
  }
  int saved = errno;
  free(buf);
  errno = saved;
  return ok;
}

int32_t DMI_realloc(int64_t old_addr, int64_t *new_addr, int64_t size, int64_t page_size) {
  if (old_addr == DMI_NULL) return DMI_malloc(new_addr, size, page_size);
  struct block block;
  if (new_addr == NULL || size < 0 || page_size <= 0)
    return dmi_fail(EINVAL, "DMI_realloc to %lld bytes in pages of %lld", (long long)size, (long long)page_size);
  if (!find(old_addr, &block)) return FALSE;
  int64_t fresh;
  if (!DMI_malloc(&fresh, size, page_size)) return FALSE;
  int64_t kept = MIN(size, block.size);
  if (kept > 0 && !copy(fresh, old_addr, kept)) {
    int saved = errno;
    DMI_free(fresh);
    errno = saved;
    return FALSE;
  }
  *new_addr = fresh;
  return DMI_munmap(block.base, NULL);
}
