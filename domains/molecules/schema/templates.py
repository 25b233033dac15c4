"""Templates of the rule-made files, one list for each; the last of a list is for test documents alone."""

from __future__ import annotations

from domains.molecules.schema.grammar import Template

_DOPED = (("Doping", "d", (("Dopant", "e"), ("Site", "w"))),)
SUPERCONDUCTORS = (
    Template(
        "{m:formula:Main} {d:operation_doped:Doping} with {e:element:Element} on the {w:site:Material} reaches a "
        "{t:tc:SC} of {v:kelvin:Value} , as seen by {c:method:Characterization} .",
        (("Equivalent", "t", "v"), ("Target", "d", "m")), _DOPED,
    ),
    Template(
        "The {p:property:Property} of {m:formula:Main} made by {s:process:Process} falls below {v:kelvin:Value} , and "
        "{t:tc:SC} sets in once {e:element:Element} is {d:operation_doped:Doping} on the {w:site:Material} .",
        (("Condition", "v", "d"), ("Target", "p", "m")), _DOPED,
    ),
    Template(
        "By {c:method:Characterization} we found a {t:tc:SC} of {v:kelvin:Value} in {m:formula:Main} , "
        "{d:operation_doped:Doping} with {e:element:Element} .",
        (("Equivalent", "t", "v"), ("Target", "t", "m")), (("Doping", "d", (("Dopant", "e"),)),),
    ),
)  # fmt: skip
_STEPS = (
    ("Operation", "a", (("Recipe_Precursor", "m"), ("Solvent_Material", "s"))),
    ("Operation", "b", (("Participant_Material", "n"), ("Atmospheric_Material", "g"))),
)
_LINKS = (
    ("Number_Of", "q", "u"), ("Amount_Of", "u", "m"), ("Next_Operation", "a", "b"), ("Number_Of", "h", "k"),
    ("Condition_Of", "k", "b"),
)  # fmt: skip
PROCEDURES = (
    Template(
        "{q:mass:Number} {u:mass_unit:Amount-Unit} of {m:formula:Material} was {a:operation:Operation} in "
        "{s:solvent:Material} . Then {n:formula:Material} was added and the batch {b:operation:Operation} under "
        "{g:gas:Material} at {h:heat:Number} {k:heat_unit:Condition-Unit} in a {x:apparatus:Synthesis-Apparatus} .",
        (*_LINKS, ("Apparatus_Of", "x", "b")), _STEPS,
    ),
    Template(
        "The {y:descriptor:Material-Descriptor} {m:formula:Material} , {q:mass:Number} {u:mass_unit:Amount-Unit} , was "
        "{a:operation:Operation} with {s:solvent:Material} and {b:operation:Operation} for {h:hours:Number} "
        "{k:hour_unit:Condition-Unit} together with {n:formula:Material} in {g:gas:Material} .",
        (*_LINKS, ("Descriptor_Of", "y", "m")), _STEPS,
    ),
    Template(
        "In {s:solvent:Material} , {m:formula:Material} ( {q:mass:Number} {u:mass_unit:Amount-Unit} ) was "
        "{a:operation:Operation} . After {h:hours:Number} {k:hour_unit:Condition-Unit} of being "
        "{b:operation:Operation} in {g:gas:Material} it gave {n:formula:Material} .",
        _LINKS, (_STEPS[0], ("Operation", "b", (("Recipe_Target", "n"), ("Atmospheric_Material", "g")))),
    ),
)  # fmt: skip
FUEL_CELLS = (
    Template(
        "The {d:device:DEVICE:device} with a {a:formula:MATERIAL:anode_material} anode and a "
        "{c:formula:MATERIAL:cathode_material} cathode {x:evoke:EXPERIMENT:experiment_evoking_word} "
        "{p:power:VALUE:power_density} at {t:celsius:VALUE:working_temperature} .", label=1,
    ),
    Template(
        "With {f:fuel:MATERIAL:fuel_used} as fuel , a resistance of {r:ohm:VALUE:resistance} was "
        "{x:evoke:EXPERIMENT:experiment_evoking_word} for the {e:formula:MATERIAL:electrolyte_material} electrolyte of "
        "the {d:device:DEVICE:device} .", label=1,
    ),
    Template(
        "At {t:celsius:VALUE:working_temperature} the {e:formula:MATERIAL:electrolyte_material} electrolyte and the "
        "{a:formula:MATERIAL:anode_material} anode {x:evoke:EXPERIMENT:experiment_evoking_word} "
        "{p:power:VALUE:power_density} .", label=1,
    ),
)  # fmt: skip
NO_EXPERIMENT = (
    Template("The {d:device} with {a:formula} anodes has been reviewed by many authors ."),
    Template("It is known that {f:fuel} may be used as fuel of a {d:device} ."),
    Template("A {d:device} with a {a:formula} electrolyte would be of interest for {x:application} ."),
)
GLASSES = (
    Template(
        "A {v:vitreous} {s:sample} of {m:formula} was studied by {c:method} . Its {p:property} was low .", label=1
    ),
    Template("A {v:crystalline} {s:sample} of {m:formula} was studied by {c:method} . Its {p:property} was low ."),
    Template(
        "We report the {p:property} of {m:formula} . The {s:sample} is {v:vitreous} after {o:operation} .", label=1
    ),
    Template("We report the {p:property} of {m:formula} . The {s:sample} is {v:crystalline} after {o:operation} ."),
    Template("By {c:method} , the {p:property} of {v:vitreous} {m:formula} was followed in a {s:sample} .", label=1),
)
ELECTRODES = (
    Template(
        "The {m:formula} electrode has a capacity of {c:mah} and a coulombic efficiency of {e:percent} .",
        (("Capacity", "m", "c"), ("Coulombic Efficiency", "m", "e")),
    ),
    Template(
        "At {v:volt} , {m:formula} shows a conductivity of {s:siemens} with an activation energy of {k:kilojoule} .",
        (("Voltage", "m", "v"), ("Conductivity", "m", "s"), ("Energy", "m", "k")),
    ),
    Template(
        "An efficiency of {e:percent} at {v:volt} and {c:mah} were found for {m:formula} .",
        (("Coulombic Efficiency", "m", "e"), ("Voltage", "m", "v"), ("Capacity", "m", "c")),
    ),
)
ENTITIES = (
    Template(
        "{d:form:DSC} {m:formula:MAT} of the {s:phase:SPL} type was made by {y:process:SMT} for {a:application:APL} ."
    ),
    Template("The {p:property:PRO} of {m:formula:MAT} was found by {c:method:CMT} and suits {a:application:APL} ."),
    Template("Using {c:method:CMT} , the {p:property:PRO} of a {m:formula:MAT} {d:form:DSC} was followed ."),
)  # fmt: skip
