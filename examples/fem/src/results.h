// What a run leaves behind, by node of the model, and the files it is written to.
#pragma once

#include <string>
#include <vector>

#include "element_math.h"

namespace fem {

struct Results {
  std::vector<double> u;              // 3 per node
  std::vector<Stress> stress;         // mean over the elements at the node
  std::vector<std::int32_t> thread;   // which DMI thread computed the node
  std::vector<std::int32_t> machine;  // which DMI node (dmi_id) that thread was on at the end
};

// Mean nodal stresses of the nodes a mesh's first `owned` nodes; u has 3 numbers for each of its nodes.
std::vector<Stress> averageStress(const Mesh& mesh, std::int32_t owned, const double* u);

// ParaView's unstructured grid: point data displacement, stress, vonMises, thread, node. Base64, uncompressed.
void writeVtu(const std::string& path, const Model& model, const Results& results);

// The displacement table CalculiX writes for *NODE PRINT, U.
void writeDat(const std::string& path, const Model& model, const Results& results);

// The displacements alone as native doubles, for comparing two runs bit by bit.
void writeSolution(const std::string& path, const Results& results);

// "maximum displacement 1.234e-03 at node 45, von Mises 3.21e+02 at node 7"
std::string summary(const Model& model, const Results& results);

}  // namespace fem
