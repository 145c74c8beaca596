// A thread's memory as it takes shape at a move's destination, from the offer until it runs.
#pragma once
#include <memory>
#include <vector>

#include "move_layout.h"
#include "pages.h"
#include "random_address.h"

namespace dmi::host {

class Arrival {
 public:
  Arrival(AddressSpace& space, const Zone& zone) : space_(space), zone_(zone) {}
  ~Arrival();
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  // Makes the memory look like this; what looked so already keeps its contents. The first layout's files are opened here; of later
  // ones, those that the first had not count as missing. Throws Error("collision" | "no-memory" | "refused").
  void show(const Layout& layout);
  // Makes a run of pages readable and writable, so that its bytes can come, until protect_again(): nearly all pages go where that is so
  // anyway, and a thread that stands still need not wait for all the rest.
  void open_up(const Run& run);
  void protect_again();
  std::vector<bool> present() const;      // for each file of the first layout: the same content is here
  bool covers(const Run& run) const;      // every byte is mapped
  void drop(const std::vector<Run>& runs);  // the thread has given these pages up since they were sent
  void finish();                          // nothing more will come; the address space knows its mappings

 private:
  struct File { std::shared_ptr<MappedFile> file; int fd; };
  void reserve(const std::vector<Extent>& extents);
  void open_files(const std::vector<OfferedFile>& files);

  AddressSpace& space_;
  Zone zone_;
  bool shown_ = false;
  std::vector<File> files_;
  std::vector<Mapping> mappings_;
  std::vector<size_t> opened_;  // of mappings_
};

}  // namespace dmi::host
