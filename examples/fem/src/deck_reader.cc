// What each keyword means. A keyword that is not in the table is refused by name: ignoring it could change the answer.
#include <cmath>
#include <functional>
#include <set>

#include "deck.h"
#include "inp_lines.h"

namespace fem {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& path) : lines_(path) { deck_.path = path; }
  Deck read();

 private:
  using Handler = void (Reader::*)(const Card&);
  struct Entry {
    Handler handler;
    std::set<std::string> parameters;  // the ones this program honours, or may ignore without changing the answer
  };
  static const std::map<std::string, Entry>& table();

  void node(const Card&);
  void element(const Card&);
  void nset(const Card& card) { set(card, "NSET", deck_.nsets, "node"); }
  void elset(const Card& card) { set(card, "ELSET", deck_.elsets, "element"); }
  void material(const Card&);
  void elastic(const Card&);
  void density(const Card&);
  void solidSection(const Card&);
  void boundary(const Card&);
  void cload(const Card&);
  void dload(const Card&);
  void step(const Card&);
  void endStep(const Card&);
  void staticStep(const Card&);
  void skip(const Card&);

  bool data();  // advances to the next data line of the current card
  void set(const Card&, const std::string& parameter, std::map<std::string, std::vector<std::int64_t>>& sets,
           const char* what);
  DeckMaterial& currentMaterial(const Card&);
  std::vector<std::int64_t> members(const Data&, const std::map<std::string, std::vector<std::int64_t>>&,
                                    const char* what);
  void load(const Data&, std::int64_t element);

  InpLines lines_;
  Deck deck_;
  std::string material_;
  bool inStep_ = false, ended_ = false, static_ = false;
  bool pending_ = false;  // lines_ holds a card that no handler has taken yet
};

const std::map<std::string, Reader::Entry>& Reader::table() {
  static const std::map<std::string, Entry> entries = {
      {"NODE", {&Reader::node, {"NSET"}}},
      {"ELEMENT", {&Reader::element, {"TYPE", "ELSET"}}},
      {"NSET", {&Reader::nset, {"NSET", "GENERATE"}}},
      {"ELSET", {&Reader::elset, {"ELSET", "GENERATE"}}},
      {"MATERIAL", {&Reader::material, {"NAME"}}},
      {"ELASTIC", {&Reader::elastic, {"TYPE"}}},
      {"DENSITY", {&Reader::density, {}}},
      {"SOLIDSECTION", {&Reader::solidSection, {"ELSET", "MATERIAL"}}},
      {"BOUNDARY", {&Reader::boundary, {"OP"}}},
      {"CLOAD", {&Reader::cload, {"OP"}}},
      {"DLOAD", {&Reader::dload, {"OP"}}},
      {"STEP", {&Reader::step, {"INC", "PERTURBATION"}}},
      {"STATIC", {&Reader::staticStep, {"SOLVER", "DIRECT"}}},
      {"ENDSTEP", {&Reader::endStep, {}}},
      {"HEADING", {&Reader::skip, {}}},
      // What is written, and where, is this program's own business.
      {"NODEFILE", {&Reader::skip, {"*"}}},
      {"ELFILE", {&Reader::skip, {"*"}}},
      {"NODEPRINT", {&Reader::skip, {"*"}}},
      {"ELPRINT", {&Reader::skip, {"*"}}},
      {"NODEOUTPUT", {&Reader::skip, {"*"}}},
      {"ELEMENTOUTPUT", {&Reader::skip, {"*"}}},
      {"OUTPUT", {&Reader::skip, {"*"}}},
      // Properties without effect in a static analysis without temperatures.
      {"EXPANSION", {&Reader::skip, {"*"}}},
      {"CONDUCTIVITY", {&Reader::skip, {"*"}}},
      {"SPECIFICHEAT", {&Reader::skip, {"*"}}},
  };
  return entries;
}

Deck Reader::read() {
  while (pending_ || lines_.next()) {
    pending_ = false;
    if (!lines_.card())
      fail(lines_.data().where, "data before the first keyword; a deck starts with a line like *NODE");
    const Card card = *lines_.card();
    const auto entry = table().find(card.keyword);
    if (entry == table().end() && lines_.cut())
      fail(card.where, "the deck ends inside the keyword " + card.title + ": it is truncated");
    if (entry == table().end())
      fail(card.where, card.title + " is not supported; remove it or use a solver that knows it");
    if (ended_) fail(card.where, card.title + " after *END STEP: only one step is supported; remove the others");
    for (const auto& p : card.parameters)
      if (!entry->second.parameters.contains(p.name) && !entry->second.parameters.contains("*"))
        fail(card.where, "parameter " + p.name + " of " + card.title + " is not supported; remove it");
    (this->*entry->second.handler)(card);
  }
  if (deck_.nodes.empty()) throw Error(deck_.path + ": no *NODE in this file; is it an Abaqus or CalculiX deck?");
  if (!inStep_)
    fail(lines_.end(), "the deck ends without a *STEP: it is truncated, or lacks *STEP, *STATIC and *END STEP");
  if (!ended_) fail(lines_.end(), "the deck ends inside its step: it is truncated, or lacks *END STEP");
  if (!static_) fail(lines_.end(), "the step has no *STATIC; add it");
  return std::move(deck_);
}

// Consumes the rest of a card line by line; a handler must call this until it is false.
bool Reader::data() {
  if (pending_ || !lines_.next()) return false;
  pending_ = lines_.card().has_value();
  return !pending_;
}

void Reader::skip(const Card&) {
  while (data()) {
  }
}

void Reader::node(const Card& card) {
  auto* set = card.has("NSET") ? &deck_.nsets[card.required("NSET")] : nullptr;
  while (data()) {
    const auto& d = lines_.data();
    const auto id = d.integer(0, "the node number");
    if (id <= 0) fail(d.where, "node number " + std::to_string(id) + " is not positive; renumber it");
    Vec3 x{};
    for (std::size_t k = 0; k < 3; ++k)
      if (d.filled(k + 1)) x[k] = d.real(k + 1, "the coordinate");
    deck_.nodes[id] = x;
    if (set) set->push_back(id);
  }
}

void Reader::element(const Card& card) {
  const auto name = card.required("TYPE");
  const auto type = elementTypeNamed(name);
  if (!type) fail(card.where, "element type " + name + " is not supported; use C3D4, C3D8, C3D10, C3D20 or C3D20R");
  const auto count = static_cast<std::size_t>(kindOf(*type).nodes);
  auto* set = card.has("ELSET") ? &deck_.elsets[card.required("ELSET")] : nullptr;
  DeckElement e;
  bool open = false;  // the element's node list continues on the next line
  while (data()) {
    const auto& d = lines_.data();
    std::size_t first = 0;
    if (!open) {
      e = {d.integer(0, "the element number"), *type, {}, d.where};
      first = 1;
    }
    for (std::size_t i = first; i < d.fields.size(); ++i) {
      if (e.nodes.size() == count)
        fail(d.where, "element " + std::to_string(e.id) + " has more than the " + std::to_string(count) +
                          " nodes of a " + name + "; correct the line");
      e.nodes.push_back(d.integer(i, "the node of the element"));
    }
    open = e.nodes.size() < count;
    if (open) continue;
    if (!deck_.elementIndex.emplace(e.id, deck_.elements.size()).second)
      fail(e.where, "element " + std::to_string(e.id) + " is defined twice; renumber one of them");
    if (set) set->push_back(e.id);
    deck_.elements.push_back(e);
  }
  if (open)
    fail(e.where, "element " + std::to_string(e.id) + " has " + std::to_string(e.nodes.size()) + " of the " +
                      std::to_string(count) + " nodes of a " + name + "; complete the line (is the file truncated?)");
}

void Reader::set(const Card& card, const std::string& parameter, std::map<std::string, std::vector<std::int64_t>>& sets,
                 const char* what) {
  const auto name = card.required(parameter);
  const bool generate = card.has("GENERATE");
  auto& list = sets[name];
  const auto exists = [&](std::int64_t id) {
    return *what == 'n' ? deck_.nodes.contains(id) : deck_.elementIndex.contains(id);
  };
  while (data()) {
    const auto& d = lines_.data();
    if (generate) {
      const auto from = d.integer(0, "the first number"), to = d.integer(1, "the last number");
      const auto by = d.filled(2) ? d.integer(2, "the increment") : 1;
      if (by <= 0) fail(d.where, "the increment of GENERATE is not positive; correct it");
      // Numbers in the range that do not exist are passed over, as the range is a shorthand.
      if (*what == 'n') {
        for (auto it = deck_.nodes.lower_bound(from); it != deck_.nodes.end() && it->first <= to; ++it)
          if ((it->first - from) % by == 0) list.push_back(it->first);
      } else {
        for (const auto& e : deck_.elements)
          if (e.id >= from && e.id <= to && (e.id - from) % by == 0) list.push_back(e.id);
      }
      continue;
    }
    for (std::size_t i = 0; i < d.fields.size(); ++i) {
      if (d.fields[i].empty()) continue;
      if (!isInteger(d.fields[i])) {
        const auto other = sets.find(upper(d.fields[i]));
        if (other == sets.end())
          fail(d.where,
               parameter + " '" + d.fields[i] + "' is not defined above this line; define it or correct the name");
        const auto copy = other->second;
        list.insert(list.end(), copy.begin(), copy.end());
      } else {
        const auto id = d.integer(i, what);
        if (!exists(id))
          fail(d.where, std::string(what) + " " + std::to_string(id) + " in set " + name +
                            " is not defined above this line; define it or correct the number");
        list.push_back(id);
      }
    }
  }
}

void Reader::material(const Card& card) {
  material_ = card.required("NAME");
  deck_.materials[material_].where = card.where;
  while (data()) fail(lines_.data().where, "*MATERIAL takes no data; put *ELASTIC before this line");
}

DeckMaterial& Reader::currentMaterial(const Card& card) {
  if (material_.empty()) fail(card.where, card.title + " belongs to no material; put *MATERIAL, NAME= before it");
  return deck_.materials[material_];
}

void Reader::elastic(const Card& card) {
  auto& m = currentMaterial(card);
  const auto type = card.value("TYPE").value_or("ISO");
  if (type != "ISO" && type != "ISOTROPIC")
    fail(card.where, "*ELASTIC, TYPE=" + type + " is not supported; only isotropic materials are");
  while (data()) {
    const auto& d = lines_.data();
    if (m.elastic) fail(d.where, "a second *ELASTIC line (temperature dependence) is not supported; keep one line");
    m.young = d.real(0, "Young's modulus");
    m.poisson = d.real(1, "Poisson's ratio");
    m.elastic = true;
    if (!(m.young > 0)) fail(d.where, "Young's modulus is not positive; correct it");
    if (!(m.poisson > -1 && m.poisson < 0.5)) fail(d.where, "Poisson's ratio is outside (-1, 0.5); correct it");
  }
  if (!m.elastic) fail(card.where, "*ELASTIC without data; add Young's modulus and Poisson's ratio");
}

void Reader::density(const Card& card) {
  auto& m = currentMaterial(card);
  bool given = false;
  while (data()) {
    if (given)
      fail(lines_.data().where, "a second *DENSITY line (temperature dependence) is not supported; keep one line");
    m.density = lines_.data().real(0, "the density");
    given = true;
  }
}

void Reader::solidSection(const Card& card) {
  const DeckSection s{card.required("ELSET"), card.required("MATERIAL"), card.where};
  if (!deck_.elsets.contains(s.elset))
    fail(card.where, "ELSET '" + s.elset + "' is not defined above this line; define it or correct the name");
  deck_.sections.push_back(s);
  skip(card);  // a thickness means nothing to a solid
}

std::vector<std::int64_t> Reader::members(const Data& d, const std::map<std::string, std::vector<std::int64_t>>& sets,
                                          const char* what) {
  if (d.filled(0) && isInteger(d.fields[0])) return {d.integer(0, what)};
  if (!d.filled(0)) fail(d.where, std::string("the ") + what + " number or set is missing; add it");
  const auto it = sets.find(upper(d.fields[0]));
  if (it == sets.end())
    fail(d.where, std::string(what) + " set '" + d.fields[0] +
                      "' is not defined above this line; define it or correct the name");
  return it->second;
}

// OP=NEW drops loads of earlier steps; there are none, but it also drops conditions given before the step.
void refuseNew(const Card& card) {
  if (card.value("OP").value_or("MOD") != "MOD") fail(card.where, card.title + ", OP=NEW is not supported; remove OP");
}

void Reader::boundary(const Card& card) {
  refuseNew(card);
  while (data()) {
    const auto& d = lines_.data();
    const auto first = d.integer(1, "the first degree of freedom");
    const auto last = d.filled(2) ? d.integer(2, "the last degree of freedom") : first;
    const double value = d.filled(3) ? d.real(3, "the displacement") : 0;
    // Rotations (4-6) of solid elements do not exist: fixing them has no effect, prescribing them would.
    if (first < 1 || last > 6 || last < first || (last > 3 && value != 0))
      fail(d.where, "degrees of freedom " + std::to_string(first) + " to " + std::to_string(last) +
                        " cannot be prescribed; solids have 1, 2 and 3");
    for (const auto node : members(d, deck_.nsets, "node"))
      for (auto dof = first; dof <= std::min<std::int64_t>(last, 3); ++dof)
        deck_.boundaries.push_back({node, static_cast<int>(dof - 1), value, d.where});
  }
}

void Reader::cload(const Card& card) {
  refuseNew(card);
  if (!inStep_) fail(card.where, "*CLOAD before *STEP; move it into the step");
  while (data()) {
    const auto& d = lines_.data();
    const auto dof = d.integer(1, "the degree of freedom");
    if (dof < 1 || dof > 3)
      fail(d.where, "degree of freedom " + std::to_string(dof) + " cannot be loaded; solids have 1, 2 and 3");
    const double value = d.real(2, "the force");
    for (const auto node : members(d, deck_.nsets, "node"))
      deck_.forces.push_back({node, static_cast<int>(dof - 1), value, d.where});
  }
}

void Reader::load(const Data& d, std::int64_t element) {
  if (!d.filled(1)) fail(d.where, "the load's label is missing; use P1 to P6, GRAV or CENTRIF");
  const auto label = upper(d.fields[1]);
  DeckLoad l{element, LoadKind::Pressure, 0, {}, d.where};
  std::size_t count = 1;
  if (label == "GRAV") {
    l.kind = LoadKind::Gravity;
    count = 4;
  } else if (label == "CENTRIF") {
    l.kind = LoadKind::Centrifugal;
    count = 7;
  } else if (label.size() == 2 && label[0] == 'P' && label[1] >= '1' && label[1] <= '6') {
    l.face = label[1] - '1';
  } else {
    fail(d.where, "load " + label + " is not supported; use P1 to P6, GRAV or CENTRIF");
  }
  for (std::size_t i = 0; i < count; ++i) l.values[i] = d.real(i + 2, "the load's value");
  // The direction of gravity and of the axis are unit vectors by definition.
  for (std::size_t from = count == 4 ? 1 : 4; from + 3 <= count; from += 3) {
    double length = 0;
    for (std::size_t k = 0; k < 3; ++k) length += l.values[from + k] * l.values[from + k];
    if (!(length > 0)) fail(d.where, "the direction of " + label + " is zero; correct it");
    for (std::size_t k = 0; k < 3; ++k) l.values[from + k] /= std::sqrt(length);
  }
  deck_.loads.push_back(l);
}

void Reader::dload(const Card& card) {
  refuseNew(card);
  if (!inStep_) fail(card.where, "*DLOAD before *STEP; move it into the step");
  while (data()) {
    const auto& d = lines_.data();
    for (const auto element : members(d, deck_.elsets, "element")) load(d, element);
  }
}

void Reader::step(const Card& card) {
  if (inStep_) fail(card.where, "*STEP inside a step; put *END STEP before it");
  inStep_ = true;
  skip(card);  // a subtitle
}

void Reader::staticStep(const Card& card) {
  if (!inStep_) fail(card.where, "*STATIC before *STEP; move it into the step");
  static_ = true;
  skip(card);  // time increments: a linear step ends with the full load whatever they are
}

void Reader::endStep(const Card& card) {
  if (!inStep_) fail(card.where, "*END STEP without *STEP; is the deck complete?");
  ended_ = true;
  skip(card);
}

}  // namespace

Deck readDeck(const std::string& path) { return Reader(path).read(); }

}  // namespace fem
