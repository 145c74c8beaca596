// Stiffness, loads and stresses of one element. Units are the deck's own; stresses are ordered xx yy zz xy xz yz.
#pragma once

#include "model.h"

namespace fem {

// The element's geometry, copied out of the mesh: coordinates of its nodes.
struct ElementNodes {
  ElementType type;
  std::array<Vec3, kMaxNodes> x;
};

// Shape-function gradients in space at one integration point.
struct Gradients {
  std::array<Vec3, kMaxNodes> dx;  // dN_a / dx
  std::array<double, kMaxNodes> n;
  double volume;  // weight times Jacobian determinant; not positive in an element inside out
};

// Gradients at every integration point. All five types use them as they are: CalculiX 2.20 gives C3D8 no B-bar either.
void gradients(const ElementNodes& e, std::vector<Gradients>& out);

ElementNodes nodesOf(const Mesh& mesh, const Element& element);

bool hasPositiveVolume(const ElementNodes& e);

// Row-major symmetric matrix of (3 nodes)^2 numbers, degrees of freedom x,y,z of node 0, of node 1, ...
void stiffness(const ElementNodes& e, const Material& material, std::vector<double>& k);

// Adds the consistent nodal forces of a distributed load: f[3 a + d] for the element's nodes a.
void addLoad(const ElementNodes& e, const Material& material, const Load& load, double* f);

using Stress = std::array<double, 6>;

// Stresses at the element's nodes, carried there from its integration points; u[3 a + d] are displacements.
void nodalStress(const ElementNodes& e, const Material& material, const double* u, Stress* atNodes);

double vonMises(const Stress& s);

}  // namespace fem
