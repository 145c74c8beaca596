// The lexical side of .inp decks: comments, keyword lines with parameters, data lines split at commas, *INCLUDE.
#pragma once

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "error.h"

namespace fem {

// A keyword line "*SOLID SECTION, ELSET=Eall, MATERIAL=EL".
struct Card {
  struct Parameter {
    std::string name;   // upper case, no blanks
    std::string value;  // upper case, trimmed; empty when there is none
  };
  std::string keyword;  // upper case without blanks: "SOLIDSECTION"
  std::string title;    // as a reader would write it: "*SOLID SECTION"
  std::vector<Parameter> parameters;
  Where where;

  std::optional<std::string> value(const std::string& name) const;
  bool has(const std::string& name) const { return value(name).has_value(); }
  std::string required(const std::string& name) const;  // throws when absent or empty
};

// A data line: fields, trimmed, case kept. "1, 2,, 3" has four fields; a comma at the end adds none.
struct Data {
  std::vector<std::string> fields;
  Where where;

  std::int64_t integer(std::size_t i, const char* what) const;
  double real(std::size_t i, const char* what) const;
  bool filled(std::size_t i) const { return i < fields.size() && !fields[i].empty(); }
};

std::string upper(std::string text);
bool isInteger(const std::string& text);

// Reads a deck line by line through its *INCLUDE files. Each non-comment line is either a card or data.
class InpLines {
 public:
  explicit InpLines(const std::string& path);

  bool next();                                               // false at the end of the deck
  const std::optional<Card>& card() const { return card_; }  // set when the line is a keyword line
  const Data& data() const { return data_; }                 // else this is
  Where end() const { return last_; }                        // the last line read
  bool cut() const { return cut_; }                          // that line has no end: the file stops in it

 private:
  struct Source {
    std::ifstream stream;
    Where where;
  };
  void open(const std::string& path, const Where* from);
  void parse(std::string line);

  std::vector<std::unique_ptr<Source>> sources_;
  std::optional<Card> card_;
  Data data_;
  Where last_;
  bool cut_ = false;
};

}  // namespace fem
