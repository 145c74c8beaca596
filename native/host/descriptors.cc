#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "host.h"

namespace dmi::host {
namespace {
constexpr int kMaxDescriptors = 4096;  // per guest

int64_t size_of(int fd) {
  struct stat st;
  return fd >= 0 && fstat(fd, &st) == 0 ? st.st_size : 0;
}

bool is_kind(int fd, FileKind kind) {
  struct stat st;
  if (fstat(fd, &st) != 0) return false;
  return kind == FileKind::Regular ? S_ISREG(st.st_mode) : kind == FileKind::Directory ? S_ISDIR(st.st_mode) : S_ISCHR(st.st_mode);
}

const char* name_of(FileKind kind) {
  return kind == FileKind::Regular ? "a regular file" : kind == FileKind::Directory ? "a directory" : "a character device";
}
}

OpenFile::~OpenFile() {
  if (real >= 0) ::close(real);
}

void Descriptors::open_console() {
  for (int i = 0; i < 3; i++) {
    auto f = std::make_shared<OpenFile>();
    f->kind = i == 0 ? FileKind::Input : i == 1 ? FileKind::Output : FileKind::Error;
    f->flags = i == 0 ? O_RDONLY : O_WRONLY;
    f->what = "console";
    put(i, std::move(f), false);
  }
}

int Descriptors::add(std::shared_ptr<OpenFile> file, bool close_on_exec, int lowest) {
  for (int i = lowest; i < kMaxDescriptors; i++)
    if (!get(i)) return put(i, std::move(file), close_on_exec);
  return -EMFILE;
}

int Descriptors::put(int at, std::shared_ptr<OpenFile> file, bool close_on_exec) {
  if (at < 0 || at >= kMaxDescriptors) return -EBADF;
  if (static_cast<size_t>(at) >= slots_.size()) slots_.resize(static_cast<size_t>(at) + 1);
  slots_[static_cast<size_t>(at)] = {std::move(file), close_on_exec};
  return at;
}

int Descriptors::close(int fd) {
  if (!get(fd)) return -EBADF;
  slots_[static_cast<size_t>(fd)] = {};
  return 0;
}

std::string Descriptors::pinned() const {
  for (size_t i = 0; i < slots_.size(); i++) {
    const OpenFile* f = slots_[i].file.get();
    if (!f) continue;
    if (f->kind == FileKind::Pinned) return "descriptor " + std::to_string(i) + " is a " + f->what + ", which cannot move";
    struct stat st;
    if (f->real >= 0 && fstat(f->real, &st) == 0 && st.st_nlink == 0)  // another file may have its name by now
      return "descriptor " + std::to_string(i) + " is " + f->path + ", which has been deleted";
    if (f->locked) return "descriptor " + std::to_string(i) + " holds a lock on " + f->path;
  }
  return {};
}

void Descriptors::save(Writer& w) const {
  // Files first, each once, so that descriptors made by dup go on sharing one offset.
  std::vector<const OpenFile*> files;
  auto index = [&](const OpenFile* f) {
    for (size_t i = 0; i < files.size(); i++)
      if (files[i] == f) return i;
    files.push_back(f);
    return files.size() - 1;
  };
  uint64_t used = 0;
  for (const Slot& s : slots_)
    if (s.file) index(s.file.get()), used++;
  w.num<uint64_t>(files.size());
  for (const OpenFile* f : files) {
    w.num(f->kind);
    w.num<int32_t>(f->flags);
    w.num<int64_t>(f->real >= 0 ? lseek(f->real, 0, SEEK_CUR) : 0);
    w.num<int64_t>(size_of(f->real));
    w.text(f->path);
    w.text(f->what);
  }
  w.num<uint64_t>(used);
  for (size_t i = 0; i < slots_.size(); i++)
    if (slots_[i].file) {
      w.num<int32_t>(static_cast<int32_t>(i));
      w.num<uint8_t>(slots_[i].close_on_exec);
      w.num<uint64_t>(index(slots_[i].file.get()));
    }
}

void Descriptors::load(Reader& r) {
  std::vector<std::shared_ptr<OpenFile>> files(r.count(16));
  for (auto& f : files) {
    f = std::make_shared<OpenFile>();
    f->kind = r.num<FileKind>();
    f->flags = r.num<int32_t>();
    const auto offset = r.num<int64_t>(), size = r.num<int64_t>();
    f->path = r.text();
    f->what = r.text();
    if (!r.ok()) break;
    if (f->kind == FileKind::Regular || f->kind == FileKind::Directory || f->kind == FileKind::Device) {
      // What has that name here may be something else, and nobody waits for a named pipe's other end.
      constexpr int kNeverAgain = O_CREAT | O_EXCL | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
      f->real = ::open(Host::get().resolve_bundle(f->path).c_str(), (f->flags & ~kNeverAgain) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
      if (f->real < 0) throw Error("refused", "the thread has " + f->path + " open, which this node cannot open: " + strerror(errno));
      if (!is_kind(f->real, f->kind)) throw Error("refused", "the thread has " + f->path + " open, which is something else on this node than " + name_of(f->kind));
      if (!(f->flags & O_NONBLOCK)) fcntl(f->real, F_SETFL, fcntl(f->real, F_GETFL) & ~O_NONBLOCK);
      if (f->kind == FileKind::Regular && ((offset <= size && size_of(f->real) < offset) || lseek(f->real, offset, SEEK_SET) != offset))
        throw Error("refused", "the thread is at byte " + std::to_string(offset) + " of " + f->path + ", of which this node's copy has only " +
                                   std::to_string(size_of(f->real)));
    }
  }
  const uint64_t used = r.count(13);
  for (uint64_t i = 0; i < used; i++) {
    const auto fd = r.num<int32_t>();
    const bool cloexec = r.num<uint8_t>();
    const auto file = r.num<uint64_t>();
    if (!r.ok() || file >= files.size() || put(fd, files[file], cloexec) < 0) break;
  }
  if (!r.ok()) throw Error("refused", "a malformed list of open files in the offer");
}

}  // namespace dmi::host
