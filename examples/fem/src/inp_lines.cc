#include "inp_lines.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>

namespace fem {
namespace {

constexpr int kMaxIncludeDepth = 16;

std::string trim(const std::string& s) {
  const char* blank = " \t\r\n\f\v";
  const auto first = s.find_first_not_of(blank);
  if (first == std::string::npos) return "";
  return s.substr(first, s.find_last_not_of(blank) - first + 1);
}

std::string withoutBlanks(std::string s) {
  std::erase_if(s, [](unsigned char c) { return std::isspace(c); });
  return s;
}

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields;
  std::size_t from = 0;
  for (;;) {
    const auto comma = line.find(',', from);
    fields.push_back(trim(line.substr(from, comma == std::string::npos ? comma : comma - from)));
    if (comma == std::string::npos) break;
    from = comma + 1;
  }
  if (fields.size() > 1 && fields.back().empty()) fields.pop_back();
  return fields;
}

// One blank between words, for messages.
std::string squeeze(const std::string& s) {
  std::string out;
  for (char c : s)
    if (!std::isspace(static_cast<unsigned char>(c)) || (!out.empty() && out.back() != ' '))
      out += std::isspace(static_cast<unsigned char>(c)) ? ' ' : c;
  return out;
}

}  // namespace

std::string upper(std::string text) {
  for (auto& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

bool isInteger(const std::string& text) {
  const std::size_t from = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
  return text.size() > from && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(),
                                           [](unsigned char c) { return std::isdigit(c); });
}

std::optional<std::string> Card::value(const std::string& name) const {
  for (const auto& p : parameters)
    if (p.name == name) return p.value;
  return std::nullopt;
}

std::string Card::required(const std::string& name) const {
  const auto v = value(name);
  if (!v || v->empty()) fail(where, title + " needs " + name + "=; add it");
  return *v;
}

std::int64_t Data::integer(std::size_t i, const char* what) const {
  if (!filled(i)) fail(where, std::string(what) + " is missing; add it");
  const std::string& s = fields[i];
  std::int64_t v = 0;
  const char* begin = s.data() + (s[0] == '+' ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size())
    fail(where, std::string(what) + " '" + s + "' is not a whole number; correct it");
  return v;
}

double Data::real(std::size_t i, const char* what) const {
  if (!filled(i)) fail(where, std::string(what) + " is missing; add it");
  std::string s = fields[i];
  for (auto& c : s)  // Fortran's exponent letter
    if (c == 'd' || c == 'D') c = 'e';
  double v = 0;
  const char* begin = s.data() + (s[0] == '+' ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size() || !std::isfinite(v))
    fail(where, std::string(what) + " '" + fields[i] + "' is not a number; correct it");
  return v;
}

InpLines::InpLines(const std::string& path) { open(path, nullptr); }

void InpLines::open(const std::string& path, const Where* from) {
  auto source = std::make_unique<Source>();
  source->where = {path, 0};
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) source->stream.open(path);
  if (!source->stream.is_open()) {
    const std::string message = "cannot open " + path + ": give the path of a readable .inp deck";
    if (from) fail(*from, message);
    throw Error(message);
  }
  last_ = source->where;
  sources_.push_back(std::move(source));
}

bool InpLines::next() {
  while (!sources_.empty()) {
    auto& source = *sources_.back();
    std::string line;
    if (!std::getline(source.stream, line)) {
      sources_.pop_back();
      continue;
    }
    ++source.where.line;
    last_ = source.where;
    cut_ = source.stream.eof();
    line = trim(line);
    if (line.empty() || line.starts_with("**")) continue;
    parse(std::move(line));
    if (card_ && card_->keyword == "INCLUDE") {
      // File names keep their case, so they are taken from the line itself.
      const auto& fields = data_.fields;
      std::string file;
      for (const auto& f : fields)
        if (upper(f).starts_with("INPUT") && f.find('=') != std::string::npos) file = trim(f.substr(f.find('=') + 1));
      if (file.size() > 1 && file.front() == '"' && file.back() == '"') file = file.substr(1, file.size() - 2);
      if (file.empty()) fail(last_, "*INCLUDE needs INPUT=; add it");
      if (sources_.size() >= kMaxIncludeDepth)
        fail(last_, "*INCLUDE is nested too deeply; does a file include itself?");
      const auto base = std::filesystem::path(source.where.file).parent_path();
      const Where from = last_;
      open(std::filesystem::path(file).is_absolute() ? file : (base / file).string(), &from);
      continue;
    }
    return true;
  }
  return false;
}

void InpLines::parse(std::string line) {
  data_ = {split(line), last_};
  card_.reset();
  if (line[0] != '*') return;
  Card card;
  card.where = last_;
  card.title = squeeze(upper(data_.fields[0]));
  card.keyword = withoutBlanks(upper(data_.fields[0])).substr(1);
  for (std::size_t i = 1; i < data_.fields.size(); ++i) {
    const auto& f = data_.fields[i];
    if (f.empty()) continue;
    const auto eq = f.find('=');
    card.parameters.push_back(
        {withoutBlanks(upper(f.substr(0, eq))), eq == std::string::npos ? "" : upper(trim(f.substr(eq + 1)))});
  }
  card_ = std::move(card);
}

}  // namespace fem
