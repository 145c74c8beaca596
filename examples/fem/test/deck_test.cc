#include "support.h"

namespace fem {
namespace {

const std::string kNodes = "*NODE, NSET=ALL\n1, 0., 0., 0.\n2, 1., 0., 0.\n3, 0., 1., 0.\n4, 0., 0., 1.\n";
const std::string kElement = "*ELEMENT, TYPE=C3D4, ELSET=SOLID\n1, 1, 2, 3, 4\n";
const std::string kMaterial = "*MATERIAL, NAME=STEEL\n*ELASTIC\n210000., 0.3\n";
const std::string kSection = "*SOLID SECTION, ELSET=SOLID, MATERIAL=STEEL\n";
const std::string kFixed = "*BOUNDARY\n1, 1, 3\n2, 2, 3\n3, 3\n";
const std::string kStep = "*STEP\n*STATIC\n*CLOAD\n4, 1, 5.\n*END STEP\n";
const std::string kHead = kNodes + kElement + kMaterial + kSection;

std::string step(const std::string& cards) { return "*STEP\n*STATIC\n" + cards + "*END STEP\n"; }

Deck read(const std::string& text) {
  const TemporaryDeck deck(text);
  return readDeck(deck.path);
}

}  // namespace

TEST(Deck, AMinimalDeckIsAccepted) { EXPECT_EQ(messageOf(kHead + kFixed + kStep), "no error"); }

TEST(Deck, KeywordsAreFreeInCaseBlanksAndComments) {
  EXPECT_EQ(
      messageOf("** made by hand\n*Heading\nany text, with commas\n*node,nset = All\n "
                "1,\n2,1.\n3,0,1.d0\n4,,,+1E0\n*Element , type= c3d4, Elset=solid\n1,1,2,3,\n4\n" +
                kMaterial +
                "*solid section,material=steel, elset = "
                "Solid\n1.,\n*Boundary\nall,2,3\nALL,1\n*Step,inc=3\n*static\n1.,1.\n*cload\n 4 , 1 , 5\n*ENDSTEP\n"),
      "no error");
}

TEST(Deck, NodesElementsAndSetsAreAsWritten) {
  const auto deck =
      read(kNodes + "5, 1.5, -2., 3.25e-1\n" + kElement +
           "*NSET, NSET=SOME\n4, 2,\n3\n*NSET, NSET=EVEN, GENERATE\n2, 9, 2\n*NSET, NSET=BOTH\nSOME, EVEN\n" +
           kMaterial + kSection + kFixed + kStep);
  EXPECT_EQ(deck.nodes.at(5), (Vec3{1.5, -2, 0.325}));
  EXPECT_EQ(deck.elements.at(0).nodes, (std::vector<std::int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(deck.nsets.at("EVEN"), (std::vector<std::int64_t>{2, 4}));
  EXPECT_EQ(deck.nsets.at("BOTH"), (std::vector<std::int64_t>{4, 2, 3, 2, 4}));
}

TEST(Deck, LoadsAndSupportsOfSetsReachEveryMember) {
  const auto deck = read(kHead + "*NSET, NSET=FEET\n1, 2, 3\n*BOUNDARY\nFEET, 1, 6\n4, 2, 2, 0.5\n" +
                         step("*CLOAD\nFEET, 3, -1.5\n*DLOAD\nSOLID, P3, 2.\nSOLID, GRAV, 9.81, 0., 0., -2.\n1, "
                              "CENTRIF, 4., 0., 0., 0., 0., 3., 0.\n"));
  EXPECT_EQ(deck.boundaries.size(), 10u);
  EXPECT_EQ(deck.boundaries.back().value, 0.5);
  EXPECT_EQ(deck.forces.size(), 3u);
  ASSERT_EQ(deck.loads.size(), 3u);
  EXPECT_EQ(deck.loads[0].face, 2);
  EXPECT_EQ(deck.loads[1].values[3], -1);  // directions are made unit vectors
  EXPECT_EQ(deck.loads[2].values[5], 1);
}

TEST(Deck, IncludedFilesAreReadInPlaceAndNamedInErrors) {
  const TemporaryDeck nodes(kNodes), bad("*NODE\n1, x\n");
  EXPECT_EQ(messageOf("*INCLUDE, INPUT=" + nodes.path + "\n" + kElement + kMaterial + kSection + kFixed + kStep),
            "no error");
  EXPECT_EQ(messageOf("*INCLUDE, INPUT=" + bad.path + "\n"),
            bad.path + ":2: the coordinate 'x' is not a number; correct it");
  EXPECT_EQ(messageOf("\n*INCLUDE, INPUT=/no/such/file\n"),
            "deck:2: cannot open /no/such/file: give the path of a readable .inp deck");
}

TEST(Deck, ALaterSupportOverridesAnEarlierOne) {
  const TemporaryDeck deck(kHead + kFixed + "*BOUNDARY\n3, 3, 3, 0.25\n" + kStep);
  const auto model = buildModel(readDeck(deck.path));
  EXPECT_EQ(model.fixed.size(), 6u);
  EXPECT_EQ(model.fixed.back().value, 0.25);
}

TEST(Deck, NodesWithoutElementsAreLeftOut) {
  const TemporaryDeck deck("*NODE\n100, 9., 9., 9.\n" + kHead + kFixed + kStep);
  EXPECT_EQ(buildModel(readDeck(deck.path)).nodeId, (std::vector<std::int64_t>{1, 2, 3, 4}));
}

struct BadDeck {
  const char* name;
  std::string text, message;
};

class BadDecks : public testing::TestWithParam<BadDeck> {};

TEST_P(BadDecks, AreRefusedWithPlaceCauseAndRemedy) { EXPECT_EQ(messageOf(GetParam().text), GetParam().message); }

INSTANTIATE_TEST_SUITE_P(
    All, BadDecks,
    testing::Values(
        BadDeck{"UnknownElement", kNodes + "*ELEMENT, TYPE=S4R\n1, 1, 2, 3, 4\n",
                "deck:6: element type S4R is not supported; use C3D4, C3D8, C3D10, C3D20 or C3D20R"},
        BadDeck{"UnknownKeyword", kHead + "*EQUATION\n",
                "deck:12: *EQUATION is not supported; remove it or use a solver that knows it"},
        BadDeck{"UnknownParameter", kHead + kFixed + "*STEP, NLGEOM\n",
                "deck:16: parameter NLGEOM of *STEP is not supported; remove it"},
        BadDeck{"UnknownLoad", kHead + kFixed + "*STEP\n*DLOAD\nSOLID, BX, 1.\n",
                "deck:18: load BX is not supported; use P1 to P6, GRAV or CENTRIF"},
        BadDeck{"AnisotropicMaterial", kNodes + "*MATERIAL, NAME=A\n*ELASTIC, TYPE=ORTHO\n",
                "deck:7: *ELASTIC, TYPE=ORTHO is not supported; only isotropic materials are"},
        BadDeck{"MissingNode",
                kNodes + "*ELEMENT, TYPE=C3D4, ELSET=SOLID\n1, 1, 2, 3, 9\n" + kMaterial + kSection + kFixed + kStep,
                "deck:7: element 1 refers to node 9, which no *NODE line defines; add the node or correct the element"},
        BadDeck{"NoMaterial", kNodes + kElement + kFixed + kStep,
                "deck:7: element 1 has no material; add a *SOLID SECTION whose ELSET contains it"},
        BadDeck{"UndefinedMaterial", kNodes + kElement + kSection + kFixed + kStep,
                "deck:8: material 'STEEL' is not defined; add *MATERIAL, NAME=STEEL and *ELASTIC"},
        BadDeck{"MaterialWithoutElastic", kNodes + kElement + "*MATERIAL, NAME=STEEL\n" + kSection + kFixed + kStep,
                "deck:8: material 'STEEL' has no *ELASTIC; add it"},
        BadDeck{"NoBoundary", kHead + kStep,
                "deck: no *BOUNDARY holds the structure, so its stiffness is singular; fix all six rigid-body motions"},
        BadDeck{"TurnsAboutAnAxis", kHead + "*BOUNDARY\n1, 1, 3\n4, 1, 2\n" + kStep,
                "deck: the structure can still move freely (rotation about z), so its stiffness is singular; add "
                "*BOUNDARY conditions"},
        BadDeck{"LoosePart",
                kNodes + "11, 5., 0., 0.\n12, 6., 0., 0.\n13, 5., 1., 0.\n14, 5., 0., 1.\n" + kElement +
                    "7, 11, 12, 13, 14\n" + kMaterial + kSection + kFixed + kStep,
                "deck: no *BOUNDARY holds the part of 1 elements around element 7, so its stiffness is singular; fix "
                "all six rigid-body motions"},
        BadDeck{"InsideOut",
                kNodes + "*ELEMENT, TYPE=C3D4, ELSET=SOLID\n1, 1, 3, 2, 4\n" + kMaterial + kSection + kFixed + kStep,
                "deck:7: element 1 has a non-positive volume at an integration point; correct its node order or shape"},
        BadDeck{"TruncatedInElement", kNodes + "*ELEMENT, TYPE=C3D4\n1, 1, 2,\n",
                "deck:7: element 1 has 2 of the 4 nodes of a C3D4; complete the line (is the file truncated?)"},
        BadDeck{"TruncatedBeforeStep", kHead + kFixed,
                "deck:15: the deck ends without a *STEP: it is truncated, or lacks *STEP, *STATIC and *END STEP"},
        BadDeck{"TruncatedInStep", kHead + kFixed + "*STEP\n*STATIC\n*CLOAD\n4, 1,",
                "deck:19: the force is missing; add it"},
        BadDeck{"TruncatedInKeyword", kHead + kFixed + "*STEP\n*STAT",
                "deck:17: the deck ends inside the keyword *STAT: it is truncated"},
        BadDeck{"NoEndStep", kHead + kFixed + "*STEP\n*STATIC\n",
                "deck:17: the deck ends inside its step: it is truncated, or lacks *END STEP"},
        BadDeck{"NoStatic", kHead + kFixed + "*STEP\n*END STEP\n", "deck:17: the step has no *STATIC; add it"},
        BadDeck{"TwoSteps", kHead + kFixed + kStep + kStep,
                "deck:21: *STEP after *END STEP: only one step is supported; remove the others"},
        BadDeck{"Empty", "", "deck: no *NODE in this file; is it an Abaqus or CalculiX deck?"},
        BadDeck{"NotADeck", "#include <stdio.h>\n",
                "deck:1: data before the first keyword; a deck starts with a line like *NODE"},
        BadDeck{"UnknownSet", kHead + "*BOUNDARY\nFEET, 1, 3\n",
                "deck:13: node set 'FEET' is not defined above this line; define it or correct the name"},
        BadDeck{"NoSuchFace", kHead + kFixed + step("*DLOAD\nSOLID, P5, 1.\n"),
                "deck:19: P5 on element 1: a C3D4 has faces 1 to 4; correct the label"},
        BadDeck{"WeightWithoutDensity", kHead + kFixed + step("*DLOAD\nSOLID, GRAV, 9.81, 0., 0., -1.\n"),
                "deck:19: a body load on element 1 needs a density; add *DENSITY to its material"},
        BadDeck{"LoadOnNothing", kHead + kFixed + step("*CLOAD\n77, 1, 1.\n"),
                "deck:19: *CLOAD on node 77, which belongs to no element; correct the number"},
        BadDeck{"DuplicateElement", kNodes + kElement + "1, 1, 2, 3, 4\n",
                "deck:8: element 1 is defined twice; renumber one of them"},
        BadDeck{"NotANumber", kNodes + "5, 1.0.0\n", "deck:6: the coordinate '1.0.0' is not a number; correct it"},
        BadDeck{"Incompressible", kNodes + "*MATERIAL, NAME=A\n*ELASTIC\n1., 0.5\n",
                "deck:8: Poisson's ratio is outside (-1, 0.5); correct it"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Deck, AMissingFileAndADirectoryAreNamed) {
  EXPECT_THROW(
      {
        try {
          readDeck("/no/such/deck.inp");
        } catch (const Error& e) {
          EXPECT_STREQ(e.what(), "cannot open /no/such/deck.inp: give the path of a readable .inp deck");
          throw;
        }
      },
      Error);
  EXPECT_THROW(readDeck("/tmp"), Error);
}

TEST(Supports, SixWellPlacedNumbersHoldAPart) {
  EXPECT_EQ(messageOf(kHead + "*BOUNDARY\n1, 1, 3\n2, 2, 3\n3, 3\n" + kStep), "no error");
}

}  // namespace fem
