#include "results.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

namespace fem {
namespace {

struct Close {
  void operator()(std::FILE* f) const { std::fclose(f); }
};

// A file being written; close() reports what buffered writes could not.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb")) {
    if (!file_) throw Error("cannot write " + path + ": choose another --out or --solution");
  }
  std::FILE* get() { return file_.get(); }
  void close() {
    if (std::ferror(get()) || std::fflush(get()) != 0)
      throw Error("cannot write all of " + path_ + ": is the disk full?");
  }

 private:
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

void base64(std::FILE* out, const std::vector<unsigned char>& bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t size = bytes.size();
  std::string text;
  text.reserve((size + 2) / 3 * 4);
  for (std::size_t i = 0; i < size; i += 3) {
    const unsigned a = bytes[i], b = i + 1 < size ? bytes[i + 1] : 0, c = i + 2 < size ? bytes[i + 2] : 0;
    text += digits[a >> 2];
    text += digits[(a & 3) << 4 | b >> 4];
    text += i + 1 < size ? digits[(b & 15) << 2 | c >> 6] : '=';
    text += i + 2 < size ? digits[c & 63] : '=';
  }
  std::fwrite(text.data(), 1, text.size(), out);
}

// VTK's inline binary data without compression: base64 of a 64-bit byte count and the bytes, encoded as one.
template <class T>
void array(std::FILE* out, const char* attributes, const std::vector<T>& values) {
  const std::uint64_t bytes = values.size() * sizeof(T);
  const char* type = std::is_same_v<T, double>         ? "Float64"
                     : std::is_same_v<T, std::int64_t> ? "Int64"
                     : std::is_same_v<T, std::int32_t> ? "Int32"
                                                       : "UInt8";
  std::fprintf(out, "<DataArray type=\"%s\" %s format=\"binary\">\n", type, attributes);
  std::vector<unsigned char> data(sizeof bytes + bytes);
  std::memcpy(data.data(), &bytes, sizeof bytes);
  if (bytes > 0) std::memcpy(data.data() + sizeof bytes, values.data(), bytes);
  base64(out, data);
  std::fprintf(out, "\n</DataArray>\n");
}

}  // namespace

std::vector<Stress> averageStress(const Mesh& mesh, std::int32_t owned, const double* u) {
  std::vector<Stress> mean(static_cast<std::size_t>(owned), Stress{});
  std::vector<int> count(mean.size(), 0);
  Stress atNodes[kMaxNodes];
  double ue[3 * kMaxNodes];
  for (const auto& element : mesh.elements) {
    const auto nodes = mesh.nodesOf(element);
    for (std::size_t a = 0; a < nodes.size(); ++a)
      for (int d = 0; d < 3; ++d) ue[3 * a + d] = u[3 * nodes[a] + d];
    nodalStress(nodesOf(mesh, element), mesh.materials[element.material], ue, atNodes);
    for (std::size_t a = 0; a < nodes.size(); ++a) {
      if (nodes[a] >= owned) continue;
      for (int c = 0; c < 6; ++c) mean[nodes[a]][c] += atNodes[a][c];
      ++count[nodes[a]];
    }
  }
  for (std::size_t n = 0; n < mean.size(); ++n)
    for (auto& s : mean[n]) s /= count[n];
  return mean;
}

void writeVtu(const std::string& path, const Model& model, const Results& results) {
  Output output(path);
  auto* out = output.get();
  const std::size_t nodes = model.x.size(), cells = model.elements.size();
  std::fprintf(out,
               "<?xml version=\"1.0\"?>\n<VTKFile type=\"UnstructuredGrid\" version=\"1.0\" "
               "byte_order=\"LittleEndian\" header_type=\"UInt64\">\n"
               "<UnstructuredGrid>\n<Piece NumberOfPoints=\"%zu\" NumberOfCells=\"%zu\">\n<Points>\n",
               nodes, cells);
  std::vector<double> numbers;
  for (const auto& x : model.x) numbers.insert(numbers.end(), x.begin(), x.end());
  array(out, "Name=\"Points\" NumberOfComponents=\"3\"", numbers);
  std::fprintf(out, "</Points>\n<Cells>\n");
  std::vector<std::int32_t> offsets;
  std::vector<std::uint8_t> types;
  for (const auto& e : model.elements) {
    offsets.push_back(e.first + kindOf(e.type).nodes);
    types.push_back(static_cast<std::uint8_t>(kindOf(e.type).vtkCell));
  }
  array(out, "Name=\"connectivity\"", model.conn);
  array(out, "Name=\"offsets\"", offsets);
  array(out, "Name=\"types\"", types);
  std::fprintf(out, "</Cells>\n<CellData>\n");
  array(out, "Name=\"element\"", model.elementId);
  std::fprintf(out, "</CellData>\n<PointData Vectors=\"displacement\" Scalars=\"vonMises\">\n");
  array(out, "Name=\"displacement\" NumberOfComponents=\"3\"", results.u);
  // VTK's order of a symmetric tensor is xx yy zz xy yz xz.
  numbers.clear();
  for (const auto& s : results.stress) numbers.insert(numbers.end(), {s[0], s[1], s[2], s[3], s[5], s[4]});
  array(out,
        "Name=\"stress\" NumberOfComponents=\"6\" ComponentName0=\"xx\" ComponentName1=\"yy\" ComponentName2=\"zz\" "
        "ComponentName3=\"xy\" ComponentName4=\"yz\" ComponentName5=\"xz\"",
        numbers);
  numbers.clear();
  for (const auto& s : results.stress) numbers.push_back(vonMises(s));
  array(out, "Name=\"vonMises\"", numbers);
  array(out, "Name=\"thread\"", results.thread);
  array(out, "Name=\"node\"", results.machine);
  array(out, "Name=\"nodeNumber\"", model.nodeId);
  std::fprintf(out, "</PointData>\n</Piece>\n</UnstructuredGrid>\n</VTKFile>\n");
  output.close();
}

void writeDat(const std::string& path, const Model& model, const Results& results) {
  Output output(path);
  std::fprintf(output.get(), "\n displacements (vx,vy,vz) for set ALL and time  0.1000000E+01\n\n");
  for (std::size_t n = 0; n < model.x.size(); ++n)
    std::fprintf(output.get(), "%10lld %13.6E %13.6E %13.6E\n", static_cast<long long>(model.nodeId[n]),
                 results.u[3 * n], results.u[3 * n + 1], results.u[3 * n + 2]);
  output.close();
}

void writeSolution(const std::string& path, const Results& results) {
  Output output(path);
  std::fwrite(results.u.data(), sizeof(double), results.u.size(), output.get());
  output.close();
}

std::string summary(const Model& model, const Results& results) {
  std::size_t moved = 0, stressed = 0;
  double largest = -1, mises = -1;
  for (std::size_t n = 0; n < model.x.size(); ++n) {
    const double* u = &results.u[3 * n];
    const double length = std::sqrt(u[0] * u[0] + u[1] * u[1] + u[2] * u[2]), s = vonMises(results.stress[n]);
    if (length > largest) largest = length, moved = n;
    if (s > mises) mises = s, stressed = n;
  }
  char text[160];
  std::snprintf(text, sizeof text, "maximum displacement %.4e at node %lld, von Mises %.4e at node %lld", largest,
                static_cast<long long>(model.nodeId[moved]), mises, static_cast<long long>(model.nodeId[stressed]));
  return text;
}

}  // namespace fem
