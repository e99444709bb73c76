"""More small files in the shape of bug reports, as texts: what is special about each, and what is right."""

SALT = "Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1"
FM3M = "_space_group_name_H-M_alt 'F m -3 m'"
OCCUPIED = "label type_symbol fract_x fract_y fract_z occupancy"
NO_TYPE = "label fract_x fract_y fract_z"
SI, SI8 = "Si1 Si 0 0 0 1", "Si1 Si 0.125 0.125 0.125 1"
CUBIC, SILICON = (5.64, 5.64, 5.64, 90, 90, 90), (5.43, 5.43, 5.43, 90, 90, 90)
BISMUTH = (4.546, 4.546, 11.863, 90, 90, 120)


def cif(atoms=SALT, symmetry=FM3M, *, cell=CUBIC, columns=OCCUPIED, extra="", name="a"):
    """Write a CIF of one block."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [
        f"data_{name}",
        extra,
        *(f"_cell_{tag} {value}" for tag, value in zip(names, cell, strict=True) if value),
        symmetry,
        "loop_",
    ]
    return "\n".join([*lines, *(f"_atom_site_{column}" for column in columns.split()), atoms, ""])


def ops(*texts):
    """Write a list of operators."""
    return "\n".join(["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{text}'" for text in texts)])


def poscar(coords, *, scale="5.64", symbols="Na Cl", counts="1 1", mode="Direct", name="salt"):
    """Write a POSCAR of the primitive cell of rock salt."""
    lines = [name, scale, "0 .5 .5", ".5 0 .5", ".5 .5 0", symbols, counts, mode, *coords]
    return "\n".join(line for line in lines if line) + "\n"


TWO = ["0 0 0", ".5 .5 .5"]
XYZ = '2\nLattice="0 2.82 2.82 2.82 0 2.82 2.82 2.82 0" {}\nNa 0 0 0\nCl 2.82 2.82 2.82\n'
RES = "TITL {}\nCELL 1.5 3.99 3.99 3.99 60 60 60\n{}\nSFAC Na Cl\nNa 1 0 0 0 1.0\nCl 2 0.5 0.5 0.5 {}\n"
XSF = "{}\nPRIMVEC\n 0 2.82 2.82\n 2.82 0 2.82\n 2.82 2.82 0\nPRIMCOORD{}\n2 1\n11 0 0 0\nCl 2.82 2.82 2.82\n"
SILENT = [("Na4 Cl4", "", "")]

MORE = {
    # what is special: file, content, and for each structure its formula or error, then what its notes and warnings say
    "origin 1 as the ICSD has it": ("a.cif", cif(SI, "_space_group_name_H-M_alt 'F d -3 m S'", cell=SILICON), [("Si8", "", "")]),
    "origin 2 as the ICSD has it": ("a.cif", cif(SI8, "_space_group_name_H-M_alt 'F d -3 m Z'", cell=SILICON), [("Si8", "", "")]),
    "hexagonal axes by name": (
        "a.cif",
        cif("Bi1 Bi 0 0 0.2339 1", "_space_group_name_H-M_alt 'R -3 m :H'", cell=BISMUTH),
        [("Bi6", "", "")],
    ),
    "hexagonal axes by the cell": (
        "a.cif",
        cif("Bi1 Bi 0 0 0.2339 1", "_space_group_name_H-M_alt R-3m", cell=BISMUTH),
        [("Bi6", "", "")],
    ),
    "unique axis by the cell": (
        "a.cif",
        cif("Na1 Na .1 .2 .3 1", "_space_group_name_H-M_alt 'P 21/m'", cell=(5, 6, 7, 90, 90, 100)),
        [("Na4", "", "")],
    ),
    "old symbol": ("a.cif", cif(symmetry="_symmetry_space_group_name_H-M Fm3m"), SILENT),
    "full symbol of a hexagonal group": (
        "a.cif",
        cif("Mg1 Mg 0.3333 0.6667 0.25 1", "_space_group_name_H-M_alt 'P 63/m 2/m 2/c'", cell=(3.2, 3.2, 5.2, 90, 90, 120)),
        [("Mg2", "", "")],
    ),
    "unknown symbol": (
        "a.cif",
        cif(symmetry="_space_group_name_H-M_alt 'F q -3 z'"),
        [("space group 'F q -3 z' isn't known", "", "")],
    ),
    "operators of another group": (
        "a.cif",
        cif(symmetry=f"{FM3M}\n{ops('x,y,z')}"),
        [("contradict the named space group F m -3 m", "", "")],
    ),
    "an operator is missing": (
        "a.cif",
        cif(symmetry=ops("x,y,z", "-x,-y,z", "-x,y,-z")),
        [("are no group: x,-y,-z is missing among the 3", "", "")],
    ),
    "Hall symbol of another group": (
        "a.cif",
        cif(symmetry=f"{FM3M}\n_space_group_name_Hall 'P 1'"),
        [("named as F m -3 m, P 1, which contradict each other", "", "")],
    ),
    "number of another group": (
        "a.cif",
        cif(symmetry=f"{FM3M}\n_space_group_IT_number 1"),
        [("named as F m -3 m, 1, which contradict each other", "", "")],
    ),
    "no such number": ("a.cif", cif(symmetry="_space_group_IT_number 231"), [("there is no space group number 231", "", "")]),
    "no symmetry": (
        "a.cif",
        cif(symmetry=""),
        [("Na1 Cl1", "", "it gives no symmetry; its atoms are taken for all of the cell (P 1)")],
    ),
    "a tag without a value": (
        "a.cif",
        cif(symmetry="_space_group_name_H-M_alt # 'F m -3 m'"),
        [("Na1 Cl1", "", "it gives no symmetry; its atoms are taken for all of the cell (P 1)")],
    ),
    "operators and an unknown symbol": (
        "a.cif",
        cif(symmetry=f"_space_group_name_H-M_alt mine\n{ops('x,y,z', '-x,-y,-z')}"),
        [("Na1 Cl1", "the symmetry operators are used", "")],
    ),
    "a translation by a seventh": (
        "a.cif",
        cif(symmetry=ops("x,y,z", "x,y,z+1/7")),
        [("line 12: the symmetry operator 'x,y,z+1/7' can't be", "", "")],
    ),
    "an operator twice": ("a.cif", cif(symmetry=ops("x,y,z", "x+1,y,z", "-x,-y,-z", "-x,-y,-z")), [("Na1 Cl1", "", "")]),
    "magnetic operators": (
        "a.mcif",
        cif(
            "Mn1 Mn 0.1 0 0 1",
            "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\n-x,-y,-z,-1\nloop_\n_space_group_symop_magn_centering.xyz\n"
            "x,y,z,+1\nx+1/2,y+1/2,z+1/2,-1",
        ),
        [("Mn4", "", "")],
    ),
    "two origins, the formula tells": (
        "a.cif",
        cif(SI, "_space_group_IT_number 227", cell=SILICON, extra="_chemical_formula_sum Si\n_cell_formula_units_Z 8"),
        [("Si8", "formula and distances speak for F d -3 m:1", "")],
    ),
    "two origins, nothing tells": (
        "a.cif",
        cif(SI, "_space_group_name_H-M_alt 'F d -3 m'", cell=SILICON),
        [("Si16", "", "neither formula nor distances tell; F d -3 m:2 is assumed")],
    ),
    "a cell without the symmetry": (
        "a.cif",
        cif(cell=(5.64, 5.64, 5.9, 90, 90, 90)),
        [("Na4 Cl4", "", "the cell misses the symmetry of F m -3 m")],
    ),
    "ammonium": (
        "a.cif",
        cif("N1 NH4+ 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1"),
        [("N4 Cl4", "", "NH4+ is read as N: its 4 H have no position")],
    ),
    "water by its label": (
        "a.cif",
        cif("H2O1 0 0 0\nNa1 0.5 0.5 0.5", columns=NO_TYPE),
        [("O4 Na4", "", "H2O1 is read as O: its H have no position")],
    ),
    "cyanide": ("a.cif", cif("C1 CN 0 0 0 1"), [("the type 'CN' is a group of atoms", "", "")]),
    "calcium by the formula": (
        "a.cif",
        cif("CA1 0 0 0\nO1 0.5 0.5 0.5", columns=NO_TYPE, extra="_chemical_formula_sum 'Ca O'"),
        [("Ca4 O4", "", "")],
    ),
    "carbon by the formula": (
        "a.cif",
        cif("CA1 0 0 0\nO1 0.5 0.5 0.5", columns=NO_TYPE, extra="_chemical_formula_sum 'C O'"),
        [("C4 O4", "", "")],
    ),
    "osmium or oxygen": (
        "a.cif",
        cif("Os1 0 0 0\nMg1 0.5 0.5 0.5", columns=NO_TYPE, extra="_chemical_formula_sum 'Mg O'"),
        [("O4 Mg4", "", "labels Os without a type are read as O: the formula has no Os")],
    ),
    "a mineral as the AMCSD has it": (
        "a.cif",
        cif(
            "MgM1 0.0 0.0 0.0 0.9\nFeM1 0.0 0.0 0.0 0.1\nMgM2 0.9915 0.2774 0.25 0.9\nFeM2 0.9915 0.2774 0.25 0.1\n"
            "SiT 0.4262 0.0940 0.25 1\nO1 0.7657 0.0913 0.25 1\nO2 0.2215 0.4474 0.25 1\nO3 0.2777 0.1628 0.0331 1",
            "_space_group_name_H-M_alt 'P b n m'\n"
            + ops(
                "x,y,z",
                "1/2+x,1/2-y,-z",
                "-x,-y,1/2+z",
                "1/2-x,1/2+y,1/2-z",
                "-x,-y,-z",
                "1/2-x,1/2+y,z",
                "x,y,1/2-z",
                "1/2+x,1/2-y,1/2+z",
            ),
            cell=(4.76, 10.21, 5.98, 90, 90, 90),
            columns="label fract_x fract_y fract_z occupancy",
            extra="_chemical_formula_sum '(Mg1.8 Fe.2) Si O4'",
        ),
        [("Mg7.2 Fe0.8 Si4 O16", "", "")],
    ),
    "calcium or carbon": ("a.cif", cif("CA1 0 0 0", columns=NO_TYPE), [("Ca4", "", "CA1 has no type and is read as Ca")]),
    "iron of two charges": ("a.cif", cif("Fe1 Fe2+ 0 0 0 .5\nFe2 Fe3+ 0 0 0 .5"), [("Fe4", "", "")]),
    "too much on a site": (
        "a.cif",
        cif("Na1 Na 0 0 0 .7\nK1 K 0 0 0 .5"),
        [("Na1, K1 lie on one point, and their occupancies add up to 1.2", "", "")],
    ),
    "negative occupancy": ("a.cif", cif("Na1 Na 0 0 0 -0.1"), [("Na1 has the occupancy '-0.1'", "", "")]),
    "occupancy that is no number": ("a.cif", cif("Na1 Na 0 0 0 much"), [("Na1 has the occupancy 'much'", "", "")]),
    "hydrogen without coordinates": (
        "a.cif",
        cif(f"{SALT}\nH1 H ? ? ? 1"),
        [("Na4 Cl4", "", "H1 has no coordinates and is left out")],
    ),
    "uncertainties": ("a.cif", cif("Na1 Na 0.00(2) 0.0(1) 0 1.00(3)\nCl1 Cl 0.5 .5 .500000(12) 1."), SILENT),
    "a vacancy on a site": ("a.cif", cif(f"{SALT}\nV1 Vac 0 0 0 0.1"), [("Na4 Cl4", "1 rows of the atom list are vacancies", "")]),
    "dummies by their flag": (
        "a.cif",
        cif("Na1 Na 0 0 0 1 d\nX1 C .2 .2 .2 1 dum", columns=f"{OCCUPIED} calc_flag"),
        [("Na4", "X1 left out: dummies, by their calc_flag", "")],
    ),
    "tritium": ("a.cif", cif("Li1 Li 0 0 0 1\nT1 T 0.5 0.5 0.5 1"), [("Li4 T4", "", "")]),
    "a formula with more": (
        "a.cif",
        cif(extra="_chemical_formula_sum 'Na Cl O4'"),
        [("Na4 Cl4", "", "the formula has 16 O a cell that no site holds")],
    ),
    "a formula with less": (
        "a.cif",
        cif(extra="_chemical_formula_sum Na"),
        [("Na4 Cl4", "", "the sites hold 4 Cl a cell that the formula doesn't have")],
    ),
    "other formula units": (
        "a.cif",
        cif(extra="_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 2"),
        [("Na4 Cl4", "", "the sites make 4 formula units a cell, the file says 2")],
    ),
    "hydrogens attached, no formula": (
        "a.cif",
        cif("C1 C 0 0 0 1 4", columns=f"{OCCUPIED} attached_hydrogens"),
        [("C4", "", "16 H a cell are attached to atoms by the file and have no position")],
    ),
    "other multiplicities": (
        "a.cif",
        cif("Na1 Na 0 0 0.1 1 4", columns=f"{OCCUPIED} symmetry_multiplicity"),
        [("Na24", "", "other numbers of sites than the file says (Na1: 24 for 4)")],
    ),
    "two lists of atoms": (
        "a.cif",
        cif() + "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nK1 0 0 0.5\n",
        [("_atom_site_fract_x is given twice, in lines 10 and 19", "", "")],
    ),
    "two lengths": ("a.cif", cif(extra="_cell_length_a 3"), [("_cell_length_a is given twice, in lines 2 and 3", "", "")]),
    "an angle is missing": (
        "a.cif",
        cif(cell=(*CUBIC[:5], None)),
        [("Na4 Cl4", "", "_cell_angle_gamma not given and taken as 90")],
    ),
    "a length is missing": ("a.cif", cif(cell=("?", *CUBIC[1:])), [("_cell_length_a is missing", "", "")]),
    "impossible angles": (
        "a.cif",
        cif(symmetry=ops("x,y,z"), cell=(5, 5, 5, 60, 60, 170)),
        [("no cell has the angles 60, 60, 170", "", "")],
    ),
    "one atom without a list": (
        "a.cif",
        cif("", "").partition("loop_")[0]
        + f"{FM3M}\n_atom_site_type_symbol Po\n"
        + "".join(f"_atom_site_fract_{x} 0\n" for x in "xyz"),
        [("Po4", "", "")],
    ),
    "dots in tags": ("a.cif", cif().replace("_atom_site_", "_atom_site."), SILENT),
    "capital tags": (
        "a.cif",
        cif().replace("_atom_site_", "_ATOM_SITE_").replace("data_", "DATA_").replace("loop_", "LOOP_"),
        SILENT,
    ),
    "a block in a text": ("a.cif", cif(extra="_publ_section_comment\n;\ndata_other\n_atom_site_label\n;"), SILENT),
    "an unfinished string between two blocks": (
        "a.cif",
        cif(name="one") + cif("Na1 'Na 0 0 0 1", name="two") + cif(name="three"),
        [("Na4 Cl4", "", ""), ("line 35: unterminated", "", ""), ("Na4 Cl4", "", "")],
    ),
    "UTF-16": ("a.cif", cif().encode("utf-16"), SILENT),
    "UTF-8 with a mark": ("a.cif", b"\xef\xbb\xbf" + cif().encode(), SILENT),
    "Latin letters": ("a.cif", cif(extra="# M\xfcller\n_publ_author_name 'M\xfcller'").encode("latin-1"), SILENT),
    "a minus that is none": ("a.cif", cif("Na1 Na \N{MINUS SIGN}0.1 0 0 1"), [("Na1 has the coordinate '?0.1'", "", "")]),
    "NUL bytes": ("a.cif", cif().replace("Na1", "Na1\0"), [("line 17: it has NUL bytes", "", "")]),
    "line ends of old Macs": ("a.cif", cif().replace("\n", "\r"), SILENT),
    "volume for a scale": ("POSCAR", poscar(TWO, scale="-44.8518"), [("Na1 Cl1", "", "")]),
    "elements in the name": (
        "CONTCAR-1",
        poscar(TWO, symbols="", name="Na Cl"),
        [("Na1 Cl1", "", "its elements are taken from its first line: Na Cl")],
    ),
    "elements behind coordinates": ("POSCAR", poscar(["0 0 0 Na", ".5 .5 .5 Cl"], symbols=""), [("Na1 Cl1", "", "")]),
    "more atoms than announced": (
        "POSCAR",
        poscar([*TWO, ".2 .2 .2"]),
        [("line 11: 2 atoms are announced, and more are given", "", "")],
    ),
    "selective dynamics, Cartesian": (
        "POSCAR",
        poscar(["0 0 0 T T F", ".5 .5 .5 F F F"], mode="Selective\nCartesian"),
        [("Na1 Cl1", "", "")],
    ),
    "names of potentials": ("a.vasp", poscar(TWO, symbols="Na_pv Cl/1a2b"), [("Na1 Cl1", "", "")]),
    "a symbol without a number": (
        "POSCAR",
        poscar(TWO, symbols="Na Cl O"),
        [("3 symbols need as many numbers of atoms, not 2", "", "")],
    ),
    "deuterium": ("POSCAR", poscar(TWO, symbols="Li D"), [("Li1 D1", "", "")]),
    "two configurations": (
        "XDATCAR",
        poscar([*TWO, "Direct configuration= 2", *TWO], mode="Direct configuration= 1"),
        [("Na1 Cl1", "", ""), ("Na1 Cl1", "", "")],
    ),
    "a configuration cut short": (
        "XDATCAR",
        poscar([*TWO, "Direct configuration= 2", "0 0 0"], mode="Direct configuration= 1"),
        [("Na1 Cl1", "", ""), ("2 atoms are announced and 1 given", "", "")],
    ),
    "frames": ("a.xyz", XYZ.format("E=-1.5") + XYZ.format('pbc="T T T"'), [("Na1 Cl1", "", ""), ("Na1 Cl1", "", "")]),
    "a slab among frames": (
        "a.extxyz",
        XYZ.format("") + XYZ.format('pbc="T T F"') + XYZ.format(""),
        [("Na1 Cl1", "", ""), ("must be periodic along all three axes, not pbc='T T F'", "", ""), ("Na1 Cl1", "", "")],
    ),
    "columns in another order": (
        "a.xyz",
        '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=pos:R:3:forces:R:3:species:S:1\n0 0 0 0 0 1 Po\n',
        [("Po1", "forces", "")],
    ),
    "RES with symmetry": (
        "a.res",
        RES.format("s", "LATT -1\nSYMM -x,-y,-z", "1.0"),
        [("line 4: SYMM -x,-y,-z stands for symmetry", "", "")],
    ),
    "the second RES is broken": (
        "a.res",
        RES.format("s", "LATT -1", "11.0")
        + RES.format("t", "LATT -1", "1.0").replace("Cl 2 0.5", "Cl 2")
        + RES.format("u", "LATT -1", "1.0"),
        [("Na1 Cl1", "", ""), ("line 12: the atom can't be read: 'Cl 2 0.5 0.5 1.0'", "", ""), ("Na1 Cl1", "", "")],
    ),
    "an animation": (
        "a.axsf",
        "ANIMSTEPS 2\n" + XSF.format("CRYSTAL", " 1") + XSF.format("", " 2"),
        [("Na1 Cl1", "", ""), ("Na1 Cl1", "", "")],
    ),
    "a molecule as XSF": ("a.xsf", "ATOMS\n6 0 0 0\n", [("it is a molecule without a unit cell", "", "")]),
    "CSSR with symmetry": (
        "a.cssr",
        "5 5 5\n90 90 90 SPGR = 225 F m -3 m\n1 0\n0 Na\n1 Na 0 0 0\n",
        [("its space group is 225", "", "")],
    ),
}
