"""Small files in the spirit of tests/cases, another list, as text: for each its name, its content, and what is right.

What is right was decided from the file's own words and the International Tables, not from what the readers gave.
"""

from typing import NamedTuple

from tests.conftest import FCC

SALT = ["Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1"]
CUBE = (5.64, 5.64, 5.64, 90, 90, 90)
COLUMNS = "label type_symbol fract_x fract_y fract_z occupancy"
BISMUTH_HEX = (4.546, 4.546, 11.862, 90, 90, 120)
BISMUTH_RHO = (4.7459, 4.7459, 4.7459, 57.237, 57.237, 57.237)
BISMUTH = ["Bi1 Bi 0 0 0.23389 1"]
BISMUTH_OWN = ["Bi1 Bi 0.23389 0.23389 0.23389 1"]
DIAMOND = (3.567, 3.567, 3.567, 90, 90, 90)
FCC_OPERATORS = ["x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"]


def block(name, cell=CUBE, atoms=SALT, *, group=None, operators=(), columns=COLUMNS, more=""):
    """Write a block: cell, symbol of the space group as it stands in the file, operators, atoms."""
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"data_{name}", *(f"_cell_{tag} {value}" for tag, value in zip(tags, cell, strict=True))]
    if group is not None:
        lines.append(f"_symmetry_space_group_name_H-M {group}")
    if operators:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{operator}'" for operator in operators)]
    lines += [*filter(None, [more]), "loop_", *(f"_atom_site_{column}" for column in columns.split()), *atoms]
    return "\n".join(lines) + "\n"


class Right(NamedTuple):
    """What is right for one structure: its formula, or words of the error; words of a note and of a warning; its volume in Å^3."""

    formula: str
    note: str = ""
    warning: str = ""
    volume: float | None = None


POSCAR = "{name}\n{scale}\n5.64 0 0\n0 5.64 0\n0 0 5.64\n{counts}\n{mode}\n" + "".join(
    f"{x} {y} {z}\n" for x, y, z in [*FCC, *(FCC + 0.5)]
)
CARTESIAN = "salt\n5.64\n1 0 0\n0 1 0\n0 0 1\nNa Cl\n4 4\nCartesian\n" + "".join(
    f"{x} {y} {z}\n" for x, y, z in [*FCC, *(FCC + 0.5)]
)
SELECTIVE = "salt\n1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64\nNa Cl\n4 4\nSelective dynamics\nDirect\n" + "".join(
    f"{x} {y} {z} T F T\n" for x, y, z in [*FCC, *(FCC + 0.5)]
)
XDATCAR = (
    "MgO\n1\n3 0 0\n0 3 0\n0 0 3\nMg O\n1 1\nDirect configuration=     1\n0 0 0\n.5 .5 .5\n"
    "Direct configuration=     2\n0 0 0.01\n.5 .5 .5\n"
)
FRAME = '2\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 energy=-1.5\nCs 0 0 0\nCl 1.5 1.5 1.5\n'
SITE_JSON = '{{"species": [{{"element": "{0}", "occu": 1}}], "abc": [0, 0, 0]}}'
SALT_JSON = '{{"lattice": {{"matrix": [[3, 0, 0], [0, 3, 0], [0, 0, 3]]}}, "sites": [' + SITE_JSON + "]}}"
RES = "TITL {0} 0 0 0\nCELL 1.54 3 3 3 90 90 90\nLATT -1\nSFAC Cs Cl\nCs1 1 0 0 0 {1}\nCl1 2 0.5 0.5 0.5 {2}\nEND\n"
PYMATGEN = """# generated using pymatgen
data_NaCl
_symmetry_space_group_name_H-M   'P 1'
_cell_length_a   5.64000000
_cell_length_b   5.64000000
_cell_length_c   5.64000000
_cell_angle_alpha   90.00000000
_cell_angle_beta   90.00000000
_cell_angle_gamma   90.00000000
_symmetry_Int_Tables_number   1
_chemical_formula_structural   NaCl
_chemical_formula_sum   'Na4 Cl4'
_cell_volume   179.40614400
_cell_formula_units_Z   4
loop_
 _symmetry_equiv_pos_site_id
 _symmetry_equiv_pos_as_xyz
  1  'x, y, z'
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_symmetry_multiplicity
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
""" + "".join(
    f"  {s}+  {s}{n}  1  {x:.8f}  {y:.8f}  {z:.8f}  1\n"
    for s, shift in (("Na", 0), ("Cl", 0.5))
    for n, (x, y, z) in enumerate(FCC + shift)
)
VESTA = """
#======================================================================
# CRYSTAL DATA
#----------------------------------------------------------------------
data_VESTA_phase_1

_chemical_name_common                  'Rutile'
_cell_length_a                         4.593700
_cell_length_b                         4.593700
_cell_length_c                         2.958700
_cell_angle_alpha                      90.000000
_cell_angle_beta                       90.000000
_cell_angle_gamma                      90.000000
_cell_volume                           62.435
_space_group_name_H-M_alt              'P 42/m n m'
_space_group_IT_number                 136

loop_
_space_group_symop_operation_xyz
   'x, y, z'
   '-x, -y, -z'
   '-x, -y, z'
   'x, y, -z'
   '-y+1/2, x+1/2, z+1/2'
   'y+1/2, -x+1/2, -z+1/2'
   'y+1/2, -x+1/2, z+1/2'
   '-y+1/2, x+1/2, -z+1/2'
   'x+1/2, -y+1/2, -z+1/2'
   '-x+1/2, y+1/2, z+1/2'
   '-x+1/2, y+1/2, -z+1/2'
   'x+1/2, -y+1/2, z+1/2'
   'y, x, -z'
   '-y, -x, z'
   '-y, -x, -z'
   'y, x, z'

loop_
   _atom_site_label
   _atom_site_occupancy
   _atom_site_fract_x
   _atom_site_fract_y
   _atom_site_fract_z
   _atom_site_adp_type
   _atom_site_U_iso_or_equiv
   _atom_site_type_symbol
   Ti1        1.0     0.000000     0.000000     0.000000    Uiso  ? Ti
   O1         1.0     0.305300     0.305300     0.000000    Uiso  ? O
"""
ICSD = """
#(C) 2020 by FIZ Karlsruhe
data_9852-ICSD
_database_code_ICSD 9852
_chemical_name_common 'Titanium dioxide'
_chemical_formula_structural 'Ti O2'
_chemical_formula_sum 'O2 Ti1'
_publ_author_name "O'Keeffe, M."
_publ_section_title
;
data_ in a text is no block
 loop_ is no loop
;
_cell_length_a 3.7842(13)
_cell_length_b 3.7842(13)
_cell_length_c 9.5146(15)
_cell_angle_alpha 90.
_cell_angle_beta 90.
_cell_angle_gamma 90.
_cell_formula_units_Z 4
_space_group_name_H-M_alt 'I 41/a m d Z'
_space_group_IT_number 141
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_symmetry_multiplicity
_atom_site_Wyckoff_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_B_iso_or_equiv
_atom_site_occupancy
Ti1 Ti4+ 4 a 0 0.75 0.125 0.39(6) 1.
O1 O2- 8 e 0 0.75 0.3331(2) 0.61(6) 1.
#End of TTdata_9852-ICSD
"""
HEX = (3.209, 3.209, 5.211, 90, 90, 120)
P63MMC = "'P 63/m m c'"
SPHALERITE = (5.41, 5.41, 5.41, 90, 90, 90)
QUARTER = "_cell_formula_units_Z 8\n_chemical_formula_sum C1"

CASES = {
    # settings
    "rhombohedral_hex_axes.cif": (block("Bi", BISMUTH_HEX, BISMUTH, group="'R -3 m :H'"), [Right("Bi6", volume=212.30)]),
    "rhombohedral_own_axes.cif": (block("Bi", BISMUTH_RHO, BISMUTH_OWN, group="'R -3 m :R'"), [Right("Bi2", volume=70.77)]),
    "rhombohedral_bare_hex_axes.cif": (block("Bi", BISMUTH_HEX, BISMUTH, group="'R -3 m'"), [Right("Bi6")]),
    "rhombohedral_R_on_hex_axes.cif": (
        block("Bi", BISMUTH_HEX, BISMUTH, group="'R -3 m :R'"),
        [Right("the cell misses the symmetry of R -3 m:R by 580.9%")],
    ),
    "diamond_origin_S.cif": (block("C", DIAMOND, ["C1 C 0 0 0 1"], group="'F d -3 m S'"), [Right("C8")]),
    "diamond_origin_Z.cif": (block("C", DIAMOND, ["C1 C 0.125 0.125 0.125 1"], group="'F d -3 m Z'"), [Right("C8")]),
    "diamond_at_0_origin_2.cif": (
        block("C", DIAMOND, ["C1 C 0 0 0 1"], group="'F d -3 m :2'", more=QUARTER),
        [Right("C16", warning="the sites make 16 formula units a cell, the file says 8")],
    ),
    "hall_with_shift.cif": (  # the centres of inversion are at z = 1/4
        block("a", (5.0, 6.0, 7.0, 90, 100, 90), ["Zr1 Zr 0 0 0.25 1"], more="_space_group_name_Hall '-P 2ybc (0 0 3)'"),
        [Right("Zr2", volume=206.81)],
    ),
    "hall_without_shift.cif": (
        block("a", (5.0, 6.0, 7.0, 90, 100, 90), ["Zr1 Zr 0 0 0.25 1"], more="_space_group_name_Hall '-P 2ybc'"),
        [Right("Zr4", volume=206.81)],
    ),
    "hall_wrong.cif": (
        block("C", DIAMOND, ["C1 C 0 0 0 1"], more="_symmetry_space_group_name_Hall 'Q 4x nonsense'"),
        [Right("the Hall symbol 'Q 4x nonsense' can't be read")],
    ),
    "number_with_other_axes.cif": (  # 14, but the unique axis is c
        block("P", (5.0, 6.0, 7.0, 90, 90, 105), ["Zr1 Zr 0.1 0.2 0.3 1"], more="_symmetry_Int_Tables_number 14"),
        [Right("Zr4", note="only the number of the space group is given")],
    ),
    "symbol_without_blanks.cif": (block("Mg", HEX, ["Mg1 Mg 0.3333 0.6667 0.25 1"], group="P63/mmc"), [Right("Mg2")]),
    "symbol_with_underscores.cif": (block("Mg", HEX, ["Mg1 Mg 0.3333 0.6667 0.25 1"], group="P6_3/mmc"), [Right("Mg2")]),
    "symbol_old_spelling.cif": (block("NaCl", group="Fm3m"), [Right("Na4 Cl4")]),
    "symbol_unknown.cif": (block("NaCl", group="'F q -3 m'"), [Right("the space group 'F q -3 m' isn't known, and there are no")]),
    "symbol_and_number_differ.cif": (
        block("NaCl", group="'F m -3 m'", more="_symmetry_Int_Tables_number 221"),
        [Right("which contradict each other")],
    ),
    # operators
    "operators_of_another_group.cif": (
        block("NaCl", group="'F m -3 m'", operators=["x,y,z", "-x,-y,-z"]),
        [Right("symmetry operators are those of P -1 (number 2) and contradict the named space group")],
    ),
    "operators_without_centring.cif": (  # the four translations alone make no F m -3 m
        block("NaCl", group="'F m -3 m'", operators=FCC_OPERATORS),
        [Right("contradict the named space group F m -3 m")],
    ),
    "operators_twice.cif": (block("NaCl", operators=FCC_OPERATORS * 2, group="'F 1'"), [Right("Na4 Cl4")]),
    "operators_no_group.cif": (
        block("NaCl", operators=["x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2"]),
        [Right("the symmetry operators are no group: x+1/2,y+1/2,z is missing")],
    ),
    "operators_in_decimals.cif": (
        block("NaCl", operators=["x,y,z", "x,y+.5,z+.5", "x+.5,y,z+.5", "x+.5,y+.5,z"]),
        [Right("Na4 Cl4")],
    ),
    "number_against_identity.cif": (  # found by fuzzing: it was P 1 in silence
        block("a", group="?", operators=["x,y,z"], more="_space_group_name_Hall 0\n_space_group_IT_number 2"),
        [Right("its 1 symmetry operators are those of P 1 (number 1) and contradict the named space group 2")],
    ),
    "unknown_symbol_and_identity.cif": (
        block("NaCl", group="'F q -3 m'", operators=["x,y,z"]),
        [Right("Na1 Cl1", warning="the space group 'F q -3 m' isn't known; the symmetry operators are used")],
    ),
    "tag_among_operators.cif": (  # found by fuzzing: it was P 1 in silence
        block("a", operators=["x,y,z", "-x,-y,-z"]).replace("pos_as_xyz\n", "pos_as_xyz\n_c\n"),
        [Right("_symmetry_equiv_pos_as_xyz has operators in another column too")],
    ),
    # what is on the sites
    "label_water.cif": (
        block("w", group="'P 1'", atoms=["Na1 0 0 0", "Wat1 0.5 0.5 0.5"], columns="label fract_x fract_y fract_z"),
        [Right("Na1 O1", warning="its H have no position")],
    ),
    "label_OH2.cif": (
        block("w", group="'P 1'", atoms=["Na1 0 0 0", "OH2 0.5 0.5 0.5"], columns="label fract_x fract_y fract_z"),
        [Right("Na1 O1", warning="OH2 is read as O")],
    ),
    "label_D1.cif": (
        block("w", group="'P 1'", atoms=["Li1 0 0 0", "D1 0.5 0.5 0.5"], columns="label fract_x fract_y fract_z"),
        [Right("Li1 D1", warning="D1 has no type and is read as deuterium")],
    ),
    "label_T1.cif": (
        block(
            "w",
            group="'P 1'",
            atoms=["Si1 0 0 0", "T1 0.5 0.5 0.5"],
            columns="label fract_x fract_y fract_z",
        ),
        [Right("Si1 T1", warning="T1 has no type and is read as tritium")],
    ),
    "label_T1_of_a_silicate.cif": (  # a tetrahedral site: the formula knows no tritium
        block(
            "w",
            group="'P 1'",
            atoms=["Na1 0 0 0", "T1 0.5 0.5 0.5"],
            columns="label fract_x fract_y fract_z",
            more="_chemical_formula_sum 'Na1 Si1'",
        ),
        [Right("Na1 T1", warning="the formula has 1 Si a cell that no site holds")],
    ),
    "label_CA1.cif": (
        block(
            "w",
            group="'P 1'",
            atoms=["CA1 0 0 0", "O1 0.5 0.5 0.5"],
            columns="label fract_x fract_y fract_z",
            more="_chemical_formula_sum 'Ca1 O1'",
        ),
        [Right("Ca1 O1")],
    ),
    "type_ammonium.cif": (
        block("w", group="'P m -3 m'", atoms=["N1 NH4+ 0 0 0 1", "Cl1 Cl- .5 .5 .5 1"]),
        [Right("N1 Cl1", warning="NH4+ is read as N: its 4 H have no position")],
    ),
    # occupancies and multiplicities
    "occupancy_1.04.cif": (
        block("o", group="'P 1'", atoms=["Na1 Na 0 0 0 0.54", "K1 K 0 0 0 0.50"]),
        [Right("Na0.519231 K0.480769", note="add up to 1.04 and are scaled to 1")],
    ),
    "occupancy_1.06.cif": (
        block("o", group="'P 1'", atoms=["Na1 Na 0 0 0 0.56", "K1 K 0 0 0 0.50"]),
        [Right("their occupancies add up to 1.06")],
    ),
    "occupancy_halves.cif": (block("o", group="'P 1'", atoms=["Na1 Na 0 0 0 0.5", "K1 K 0 0 0 0.5"]), [Right("Na0.5 K0.5")]),
    "occupancy_question.cif": (
        block("o", group="'F m -3 m'", atoms=["Na1 Na 0 0 0 ?", "Cl1 Cl 0.5 0.5 0.5 1"]),
        [Right("Na4 Cl4", note="the occupancy of Na1 isn't given and taken as 1")],
    ),
    "occupancy_negative.cif": (block("o", group="'P 1'", atoms=["Na1 Na 0 0 0 -0.5"]), [Right("Na1 has the occupancy '-0.5'")]),
    "multiplicity_differs.cif": (
        block(
            "m",
            group="'F m -3 m'",
            atoms=["Na1 Na 8 0 0 0", "Cl1 Cl 4 .5 .5 .5"],
            columns="label type_symbol symmetry_multiplicity fract_x fract_y fract_z",
        ),
        [Right("Na4 Cl4", warning="symmetry makes other numbers of sites than the file says (Na1: 4 for 8)")],
    ),
    # numbers
    "esd_everywhere.cif": (
        block(
            "NaCl",
            ("5.6400(3)",) * 3 + ("90.00(1)",) * 3,
            ["Na1 Na 0.0000(1) 0 0 1.00(1)", "Cl1 Cl 0.5000(2) 0.5 0.5 1"],
            group="'F m -3 m'",
        ),
        [Right("Na4 Cl4", volume=179.406)],
    ),
    "thirds_in_four_digits.cif": (  # ZnS wurtzite: 2 Zn and 2 S
        block(
            "ZnS", (3.82, 3.82, 6.26, 90, 90, 120), ["Zn1 Zn 0.3333 0.6667 0 1", "S1 S 0.3333 0.6667 0.3748 1"], group="'P 63 m c'"
        ),
        [Right("Zn2 S2")],
    ),
    "thirds_in_two_digits.cif": (  # too coarse to be put right, so it is warned of
        block("Mg", HEX, ["Mg1 Mg 0.33 0.67 0.25 1"], group=P63MMC),
        [Right("Mg6", warning="Mg1 and Mg1 are 0.032 Å apart")],
    ),
    "no_point_in_angle.cif": (
        block("NaCl", (5.64, 5.64, 5.64, 90, 90, "."), group="'F m -3 m'"),
        [Right("Na4 Cl4", warning="_cell_angle_gamma not given and taken as 90 degrees")],
    ),
    "length_in_words.cif": (
        block("NaCl", ("five", 5.64, 5.64, 90, 90, 90), group="'F m -3 m'"),
        [Right("_cell_length_a is 'five'; a number from 0.1 to 100000")],
    ),
    # text
    "text_field.cif": (block("NaCl", group="\n;F m -3 m\n;"), [Right("Na4 Cl4")]),
    "crlf.cif": (block("NaCl", group="'F m -3 m'").replace("\n", "\r\n"), [Right("Na4 Cl4")]),
    "cr_only.cif": (block("NaCl", group="'F m -3 m'").replace("\n", "\r"), [Right("Na4 Cl4")]),
    "bom.cif": ("\ufeff" + block("NaCl", group="'F m -3 m'"), [Right("Na4 Cl4")]),
    "utf16.cif": (block("NaCl", group="'F m -3 m'").encode("utf-16"), [Right("Na4 Cl4")]),
    "utf16_no_bom.cif": (block("NaCl", group="'F m -3 m'").encode("utf-16-le"), [Right("it has NUL bytes")]),
    "nul.cif": (block("NaCl", group="'F m -3 m'").replace("Cl1 Cl", "Cl1\0Cl"), [Right("line 17: it has NUL bytes")]),
    "latin1.cif": (("# M\xfcller\n" + block("NaCl", group="'F m -3 m'")).encode("latin-1"), [Right("Na4 Cl4")]),
    # blocks
    "empty_block_before.cif": ("data_global\n" + block("NaCl", group="'F m -3 m'"), [Right("Na4 Cl4")]),
    "block_without_atoms_beside.cif": (
        block("NaCl", group="'F m -3 m'") + "data_refinement\n_refine_ls_R_factor_all 0.03\n",
        [Right("Na4 Cl4")],
    ),
    "two_atom_loops.cif": (
        block("NaCl", group="'F m -3 m'")
        + "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nK1 .25 .25 .25\n",
        [Right("is given twice, in lines")],
    ),
    "aniso_loop_first.cif": (
        block("NaCl", group="'F m -3 m'", more="loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\nNa1 0.01\nCl1 0.02"),
        [Right("Na4 Cl4")],
    ),
    "comments_only.cif": ("# nothing\n# but comments\n", [Right("it is no CIF with atoms")]),
    "no_symmetry.cif": (block("NaCl"), [Right("Na1 Cl1", warning="it gives no symmetry")]),
    "pymatgen.cif": (PYMATGEN, [Right("Na4 Cl4")]),
    "vesta.cif": (VESTA, [Right("Ti2 O4")]),
    "icsd.cif": (ICSD, [Right("Ti4 O8", volume=136.25)]),
    "symbol_of_another_cell.cif": (  # P 4/m m m in a cell of twice its volume; C m m m was read
        block("a", (4.0, 4.0, 5.0, 90, 90, 90), ["Na1 Na 0 0 0 1"], group="'C 4/m m m'"),
        [Right("the space group 'C 4/m m m' isn't known, and there are no symmetry operators")],
    ),
    "symbol_with_e_glide.cif": (  # C m c e in other axes: 8 sites of m.. at (0, y, z)
        block("a", (6.0, 5.0, 7.0, 90, 90, 90), ["Ga1 Ga 0.13 0 0.11 1"], group="'C c m e'"),
        [Right("Ga8", volume=210.0)],
    ),
    "type_phosphate.cif": (block("a", group="'P 1'", atoms=["P1 PO43- 0 0 0 1"]), [Right("the type 'PO43-' is a group of atoms")]),
    "label_two_elements.cif": (
        block("a", group="'P 1'", atoms=["Al/Si1 0 0 0"], columns="label fract_x fract_y fract_z"),
        [Right("Al1", warning="names two elements")],
    ),
    "coordinates_in_thousands.cif": (
        block("a", group="'P 1'", atoms=["Na1 Na 2500 5000 0 1"]),
        [Right("Na1", warning="the coordinates of Na1 are beyond 10")],
    ),
    "last_row_cut_between_good_ones.cif": (
        block("a", group="'F m -3 m'")
        + block("b", group="'F m -3 m'", atoms=[SALT[0], "Cl1 Cl .5"])
        + block("c", group="'F m -3 m'"),
        [Right("Na4 Cl4"), Right("the loop _atom_site_* has a row that is cut short"), Right("Na4 Cl4")],
    ),
    "atoms_without_coordinates.cif": (
        block("a", group="'P 1'", atoms=["Na1 Na ? ? ? 1", "Cl1 Cl 0 0 0 1"]),
        [Right("Cl1", warning="Na1 has no coordinates and is left out")],
    ),
    # other formats
    "POSCAR_volume": (
        POSCAR.format(name="salt", scale=-200.0, counts="Na Cl\n4 4", mode="Direct"),
        [Right("Na4 Cl4", volume=200.0)],
    ),
    "POSCAR_selective": (SELECTIVE, [Right("Na4 Cl4")]),
    "CONTCAR-cartesian": (CARTESIAN, [Right("Na4 Cl4", volume=179.406)]),
    "POSCAR_vasp4": (
        POSCAR.format(name="Na Cl", scale=1.0, counts="4 4", mode="Direct"),
        [Right("Na4 Cl4", warning="its elements are taken from its first line: Na Cl")],
    ),
    "POSCAR_vasp4_prose": (
        POSCAR.format(name="my salt", scale=1.0, counts="4 4", mode="Direct"),
        [Right("doesn't name its elements")],
    ),
    "CONTCAR": (POSCAR.format(name="salt", scale=1.0, counts="Na_pv Cl\n4 4", mode="Direct"), [Right("Na4 Cl4")]),
    "POSCAR_more_atoms": (
        POSCAR.format(name="salt", scale=1.0, counts="Na Cl\n4 3", mode="Direct"),
        [Right("7 atoms are announced, and more are given")],
    ),
    "XDATCAR": (XDATCAR, [Right("Mg1 O1"), Right("Mg1 O1")]),
    "frames.extxyz": (
        FRAME + FRAME.replace("1.5 1.5 1.5", "1.5 oops 1.5") + FRAME,
        [Right("Cs1 Cl1"), Right("pos can't be read"), Right("Cs1 Cl1")],
    ),
    "array.json": ("[" + SALT_JSON.format("Po") + "," + SALT_JSON.format("Fe") + "]", [Right("Po1"), Right("Fe1")]),
    "fixed.res": (RES.format("a", "11.0", "10.5"), [Right("Cs1 Cl0.5")]),
    "free_variable.res": (RES.format("a", "11.0", "21.0"), [Right("the occupancy 21.0 can't be read")]),
}
