// Runs a fuzz target (its LLVMFuzzerTestOneInput) where the compiler has no libFuzzer: every file of a corpus as it is, then
// mutations of them. All is decided by the seed and the number of the run, so any run can be had again alone.
//   TARGET [--runs N] [--seed N] [--from N] [--seconds N] CORPUS...   CORPUS: directories and files
// A run that crashes leaves its input in ./crash-TARGET, which TARGET --runs 0 crash-TARGET replays.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_set_death_callback(void (*callback)());
#endif

namespace {

using Input = std::vector<uint8_t>;
constexpr size_t kLongest = 16 << 10;  // bytes

const Input* current = nullptr;
std::string crash_file;

void keep_current() {  // signal-safe
  if (!current) return;
  const int fd = open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && write(fd, current->data(), current->size()) >= 0) {
    const char said[] = "the input is kept in ";
    if (write(2, said, sizeof said - 1) < 0 || write(2, crash_file.data(), crash_file.size()) < 0 || write(2, "\n", 1) < 0) return;
  }
}
void on_signal(int number) {
  keep_current();
  signal(number, SIG_DFL);
  raise(number);
}

// What breaks decoders: lengths and counts at their borders, fields of others, bytes too few and too many.
void mutate(Input& in, const std::vector<Input>& corpus, std::mt19937_64& random) {
  const auto below = [&](size_t n) { return n ? static_cast<size_t>(random() % n) : 0; };
  for (size_t n = size_t{1} << below(5); n > 0; n--) {
    const auto at = below(in.size());
    const auto left = in.size() - at;
    switch (below(9)) {
      case 0: if (left) in[at] = static_cast<uint8_t>(random()); break;
      case 1: if (left) in[at] ^= static_cast<uint8_t>(1u << below(8)); break;
      case 2: in.resize(at); break;
      case 3: in.insert(in.begin() + static_cast<ptrdiff_t>(at), 1 + below(16), static_cast<uint8_t>(random())); break;
      case 4: in.erase(in.begin() + static_cast<ptrdiff_t>(at), in.begin() + static_cast<ptrdiff_t>(at + std::min(left, 1 + below(16)))); break;
      case 5: case 6: {  // a number
        static constexpr uint64_t kSpecial[] = {0, 1, 2, 255, 4096, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 40, 1ull << 63, (1ull << 63) - 1, ~0ull};
        const uint64_t value = below(4) ? kSpecial[below(std::size(kSpecial))] : random();
        const auto width = std::min(left, size_t{1} << below(4));
        if (width) std::memcpy(&in[at], &value, width);
        break;
      }
      case 7: {  // a part of another input
        const auto& other = corpus[below(corpus.size())];
        if (other.empty()) break;
        const auto from = below(other.size());
        const auto part = std::min(other.size() - from, 1 + below(64));
        in.insert(in.begin() + static_cast<ptrdiff_t>(at), other.begin() + static_cast<ptrdiff_t>(from), other.begin() + static_cast<ptrdiff_t>(from + part));
        break;
      }
      case 8: {  // the end of another input
        const auto& other = corpus[below(corpus.size())];
        in.resize(at);
        const auto from = below(other.size());
        in.insert(in.end(), other.begin() + static_cast<ptrdiff_t>(from), other.end());
        break;
      }
    }
  }
  if (in.size() > kLongest) in.resize(kLongest);
}

void run(const Input& in) {
  current = &in;
  LLVMFuzzerTestOneInput(in.data(), in.size());
  current = nullptr;
}

void add(const std::filesystem::path& path, std::vector<Input>& corpus) {
  if (std::filesystem::is_directory(path)) {
    std::vector<std::filesystem::path> files;
    for (auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());  // the same order everywhere: runs are named by number
    for (auto& file : files) add(file, corpus);
    return;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(2);
  }
  corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t runs = ~0ull, seed = 1, from = 0;
  double seconds = 0;
  std::vector<Input> corpus;
  for (int i = 1; i < argc; i++) {
    const std::string arg = argv[i];
    if (arg.rfind("--", 0) != 0) {
      add(arg, corpus);
      continue;
    }
    if (++i == argc) arg == "--help" ? std::exit(0) : std::exit(2);
    if (arg == "--runs") runs = std::strtoull(argv[i], nullptr, 0);
    else if (arg == "--seed") seed = std::strtoull(argv[i], nullptr, 0);
    else if (arg == "--from") from = std::strtoull(argv[i], nullptr, 0);
    else if (arg == "--seconds") seconds = std::strtod(argv[i], nullptr);
    else {
      std::fprintf(stderr, "%s: unknown option %s\n", argv[0], arg.c_str());
      return 2;
    }
  }
  if (runs == ~0ull && seconds == 0) runs = 1000;
  crash_file = "crash-" + std::filesystem::path(argv[0]).filename().string();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(keep_current);
#endif
  for (int number : {SIGABRT, SIGFPE, SIGILL}) signal(number, on_signal);
  for (auto& in : corpus) run(in);
  if (corpus.empty()) corpus.emplace_back();
  const auto start = std::chrono::steady_clock::now();
  uint64_t n = 0;
  for (; n < runs; n++) {
    if (seconds > 0 && std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > seconds) break;
    std::mt19937_64 random(seed * 0x9e3779b97f4a7c15u + from + n);
    Input in = corpus[random() % corpus.size()];
    mutate(in, corpus, random);
    run(in);
  }
  std::printf("%s: %zu inputs, %llu mutations from seed %llu: nothing found\n", argv[0], corpus.size(), static_cast<unsigned long long>(n),
              static_cast<unsigned long long>(seed));
}
