#include "domain.h"

#include <algorithm>
#include <cstring>

namespace fem {

std::vector<Domain> makeDomains(const Mesh& mesh, const std::vector<std::int32_t>& owner, int count) {
  std::vector<Domain> domains(static_cast<std::size_t>(count));
  const auto nodes = static_cast<std::int32_t>(mesh.x.size());
  for (std::int32_t n = 0; n < nodes; ++n) domains[owner[n]].global.push_back(n);

  // Elements of each domain, in ascending order.
  std::vector<std::vector<std::int32_t>> elements(domains.size());
  for (std::int32_t e = 0; e < static_cast<std::int32_t>(mesh.elements.size()); ++e)
    for (const auto n : mesh.nodesOf(mesh.elements[e])) {
      auto& list = elements[owner[n]];
      if (list.empty() || list.back() != e) list.push_back(e);
    }

  std::vector<std::int32_t> local(mesh.x.size(), -1), localElement(mesh.elements.size(), -1);
  for (std::size_t d = 0; d < domains.size(); ++d) {
    auto& domain = domains[d];
    domain.owned = static_cast<std::int32_t>(domain.global.size());
    std::vector<std::int64_t> ghosts;
    for (const auto e : elements[d])
      for (const auto n : mesh.nodesOf(mesh.elements[e]))
        if (owner[n] != static_cast<std::int32_t>(d)) ghosts.push_back(n);
    std::sort(ghosts.begin(), ghosts.end());
    ghosts.erase(std::unique(ghosts.begin(), ghosts.end()), ghosts.end());
    domain.global.insert(domain.global.end(), ghosts.begin(), ghosts.end());
    for (std::size_t i = 0; i < domain.global.size(); ++i) {
      local[domain.global[i]] = static_cast<std::int32_t>(i);
      domain.x.push_back(mesh.x[domain.global[i]]);
    }
    domain.materials = mesh.materials;
    for (const auto e : elements[d]) {
      localElement[e] = static_cast<std::int32_t>(domain.elements.size());
      auto element = mesh.elements[e];
      element.first = static_cast<std::int32_t>(domain.conn.size());
      domain.elements.push_back(element);
      for (const auto n : mesh.nodesOf(mesh.elements[e])) domain.conn.push_back(local[n]);
    }
    for (auto f : mesh.fixed)
      if ((f.node = local[f.node]) >= 0) domain.fixed.push_back(f);
    for (auto f : mesh.forces)
      if ((f.node = local[f.node]) >= 0 && f.node < domain.owned) domain.forces.push_back(f);
    for (auto l : mesh.loads)
      if ((l.element = localElement[l.element]) >= 0) domain.loads.push_back(l);
    for (const auto n : domain.global) local[n] = -1;
    for (const auto e : elements[d]) localElement[e] = -1;
  }
  return domains;
}

namespace {

// Each vector as a 64-bit count and its elements; every element type is plain data.
struct Writer {
  std::vector<std::byte> bytes;
  template <class T>
  void operator()(const std::vector<T>& v) {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::uint64_t count = v.size();
    append(&count, sizeof count);
    append(v.data(), v.size() * sizeof(T));
  }
  void append(const void* data, std::size_t size) {
    const auto* p = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), p, p + size);
  }
};

struct Reader {
  std::span<const std::byte> bytes;
  template <class T>
  void operator()(std::vector<T>& v) {
    std::uint64_t count;
    take(&count, sizeof count);
    if (count > bytes.size() / sizeof(T)) throw Error("a domain in global memory is shorter than its contents");
    v.resize(count);
    take(v.data(), count * sizeof(T));
  }
  void take(void* to, std::size_t size) {
    if (size > bytes.size()) throw Error("a domain in global memory is shorter than its contents");
    if (size > 0) std::memcpy(to, bytes.data(), size);
    bytes = bytes.subspan(size);
  }
};

template <class D, class Visitor>
void visit(D& d, Visitor& v) {
  v(d.global), v(d.x), v(d.elements), v(d.conn), v(d.materials), v(d.fixed), v(d.forces), v(d.loads);
}

}  // namespace

std::vector<std::byte> pack(const Domain& domain) {
  Writer w;
  w.append(&domain.owned, sizeof domain.owned);
  visit(domain, w);
  return std::move(w.bytes);
}

Domain unpack(std::span<const std::byte> bytes) {
  Domain d;
  Reader r{bytes};
  r.take(&d.owned, sizeof d.owned);
  visit(d, r);
  return d;
}

}  // namespace fem
