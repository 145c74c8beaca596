#include "model.h"

#include <set>

#include "element_math.h"

namespace fem {
namespace {

std::string element(const DeckElement& e) { return "element " + std::to_string(e.id); }

}  // namespace

Model buildModel(const Deck& deck) {
  Model m;
  if (deck.elements.empty()) throw Error(deck.path + ": no *ELEMENT in this deck; add elements");

  // Nodes in use, in ascending order of their numbers.
  std::map<std::int64_t, std::int32_t> index;
  for (const auto& e : deck.elements)
    for (const auto id : e.nodes) {
      if (!deck.nodes.contains(id))
        fail(e.where, element(e) + " refers to node " + std::to_string(id) +
                          ", which no *NODE line defines; add the node or correct the element");
      index.emplace(id, 0);
    }
  for (auto& [id, i] : index) {
    i = static_cast<std::int32_t>(m.nodeId.size());
    m.nodeId.push_back(id);
    m.x.push_back(deck.nodes.at(id));
  }

  // Materials through sections; a later section overrides an earlier one, as in CalculiX.
  std::vector<std::int32_t> materialOf(deck.elements.size(), -1);
  std::map<std::string, std::int32_t> materialIndex;
  for (const auto& s : deck.sections) {
    const auto it = deck.materials.find(s.material);
    if (it == deck.materials.end())
      fail(s.where,
           "material '" + s.material + "' is not defined; add *MATERIAL, NAME=" + s.material + " and *ELASTIC");
    const auto& d = it->second;
    if (!d.elastic) fail(d.where, "material '" + s.material + "' has no *ELASTIC; add it");
    const auto [at, fresh] = materialIndex.emplace(s.material, static_cast<std::int32_t>(m.materials.size()));
    if (fresh)
      m.materials.push_back(
          {d.young * d.poisson / ((1 + d.poisson) * (1 - 2 * d.poisson)), d.young / (2 * (1 + d.poisson)), d.density});
    for (const auto id : deck.elsets.at(s.elset)) materialOf[deck.elementIndex.at(id)] = at->second;
  }
  for (std::size_t i = 0; i < deck.elements.size(); ++i) {
    const auto& e = deck.elements[i];
    if (materialOf[i] < 0) fail(e.where, element(e) + " has no material; add a *SOLID SECTION whose ELSET contains it");
    m.elements.push_back({e.type, static_cast<std::int32_t>(m.conn.size()), materialOf[i]});
    m.elementId.push_back(e.id);
    for (const auto id : e.nodes) m.conn.push_back(index.at(id));
    if (!hasPositiveVolume(nodesOf(m, m.elements.back())))
      fail(e.where, element(e) + " has a non-positive volume at an integration point; correct its node order or shape");
  }

  std::map<std::pair<std::int32_t, std::int32_t>, double> fixed;
  for (const auto& b : deck.boundaries) {
    if (!deck.nodes.contains(b.node))
      fail(b.where,
           "*BOUNDARY on node " + std::to_string(b.node) + ", which no *NODE line defines; correct the number");
    const auto it = index.find(b.node);
    if (it != index.end()) fixed[{it->second, b.dof}] = b.value;  // a later line overrides an earlier one
  }
  for (const auto& [key, value] : fixed) m.fixed.push_back({key.first, key.second, value});

  for (const auto& f : deck.forces) {
    const auto it = index.find(f.node);
    if (it == index.end())
      fail(f.where, "*CLOAD on node " + std::to_string(f.node) + ", which belongs to no element; correct the number");
    m.forces.push_back({it->second, f.dof, f.value});
  }
  std::set<std::int64_t> spinning;
  for (const auto& l : deck.loads) {
    // CalculiX adds pressures and nodal forces given twice, but keeps only one CENTRIF per element.
    if (l.kind == LoadKind::Centrifugal && !spinning.insert(l.element).second)
      fail(l.where, "a second CENTRIF on element " + std::to_string(l.element) + " is not supported; keep one");
    const auto it = deck.elementIndex.find(l.element);
    if (it == deck.elementIndex.end())
      fail(l.where,
           "*DLOAD on element " + std::to_string(l.element) + ", which no *ELEMENT line defines; correct the number");
    const auto e = static_cast<std::int32_t>(it->second);
    const auto& kind = kindOf(m.elements[e].type);
    if (l.kind == LoadKind::Pressure && l.face >= kind.faces)
      fail(l.where, "P" + std::to_string(l.face + 1) + " on element " + std::to_string(l.element) + ": a " +
                        std::string(kind.name) + " has faces 1 to " + std::to_string(kind.faces) +
                        "; correct the label");
    if (l.kind != LoadKind::Pressure && m.materials[m.elements[e].material].density <= 0)
      fail(l.where,
           "a body load on element " + std::to_string(l.element) + " needs a density; add *DENSITY to its material");
    m.loads.push_back({e, l.kind, l.face, 0, l.values});
  }
  return m;
}

}  // namespace fem
