// A bearing bracket in millimetres: a base plate with four bolt holes, an upright with a bore in a boss, two ribs, a
// fillet along the foot. Bolted down through the holes, loaded by a shaft that presses on the bore's lower half.
//
// make-deck reads the physical groups: "solid", "fixed" (all displacements zero) and "pressure P" (P in N/mm^2).
SetFactory("OpenCASCADE");
DefineConstant[ size = 3.1 ];  // length of the elements' edges

length = 120;  // base plate along x
width = 80;    //            along y
thick = 12;    // of all plates
outer = 26;    // radius of the boss
bore = 17;     // and of its bore
height = 78;   // of the bore's axis above the floor

// Base, upright (in the plane y = const), boss around the bore, two ribs behind the upright.
Box(1) = {0, 0, 0, length, width, thick};
Box(2) = {length / 2 - 30, 18, thick, 60, thick, height - thick};
Cylinder(3) = {length / 2, 12, height, 0, thick + 14, 0, outer};
For i In {0:1}
  x = length / 2 - 30 + i * 50;
  p = newp;
  Point(p) = {x, 18 + thick, thick};
  Point(p + 1) = {x, width - 8, thick};
  Point(p + 2) = {x, 18 + thick, height - 12};
  l = newl;
  Line(l) = {p, p + 1};
  Line(l + 1) = {p + 1, p + 2};
  Line(l + 2) = {p + 2, p};
  loop = newll;
  Curve Loop(loop) = {l, l + 1, l + 2};
  face = news;
  Plane Surface(face) = {loop};
  rib~{i}() = Extrude {10, 0, 0} { Surface{face}; };
EndFor
BooleanUnion(20) = { Volume{1}; Delete; }{ Volume{2, 3, rib~{0}(1), rib~{1}(1)}; Delete; };

// The fillet at the upright's foot in front, along the line y = 18, z = thick.
foot() = Curve In BoundingBox {-1, 17.9, thick - 0.1, length + 1, 18.1, thick + 0.1};
body() = Fillet{20}{foot()}{8};

// The bore, as two half cylinders so that its lower half is a face of its own, and the bolt holes.
Cylinder(30) = {length / 2, 0, height, 0, width, 0, bore, Pi};
Cylinder(31) = {length / 2, 0, height, 0, width, 0, bore, Pi};
Rotate {{0, 1, 0}, {length / 2, 0, height}, Pi / 2} { Volume{30}; }
Rotate {{0, 1, 0}, {length / 2, 0, height}, -Pi / 2} { Volume{31}; }
Cylinder(32) = {14, 14, -1, 0, 0, thick + 2, 5.5};
Cylinder(33) = {length - 14, 14, -1, 0, 0, thick + 2, 5.5};
Cylinder(34) = {14, width - 14, -1, 0, 0, thick + 2, 5.5};
Cylinder(35) = {length - 14, width - 14, -1, 0, 0, thick + 2, 5.5};
part() = BooleanDifference{ Volume{body()}; Delete; }{ Volume{30:35}; Delete; };

Physical Volume("solid") = part();
e = 0.2;
holes() = {};
For i In {0:1}
  For j In {0:1}
    x = 14 + i * (length - 28);
    y = 14 + j * (width - 28);
    holes() += Surface In BoundingBox {x - 5.5 - e, y - 5.5 - e, -e, x + 5.5 + e, y + 5.5 + e, thick + e};
  EndFor
EndFor
Physical Surface("fixed") = holes();
Physical Surface("pressure 9") = Surface In BoundingBox {length / 2 - bore - e, 10, height - bore - e, length / 2 + bore + e, 40, height + e};

Mesh.MeshSizeMax = size;
Mesh.MeshSizeMin = size / 4;
Mesh.MeshSizeFromCurvature = size > 10 ? 6 : 16;  // elements around a full circle
Mesh.ElementOrder = 2;
Mesh.HighOrderOptimize = 1;
Mesh.RandomSeed = 1;
General.NumThreads = 1;
