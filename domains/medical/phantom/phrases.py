"""The wording of reports. Every slot is filled from a fact; see `report.py` for what the slots hold.

{where} "right upper lobe"; {side}; {size} "12 mm"; {detail}; {degree} a word for the severity; {change} a comparison
with the prior or nothing, with its own leading comma.
"""

from __future__ import annotations

POSITIVE: dict[str, tuple[str, ...]] = {
    "Lung nodule": (
        "A {size} {detail} nodule is seen in the {where}{change}.",
        "There is a {detail} pulmonary nodule in the {where} measuring {size}{change}.",
        "In the {where}, a {detail} nodule with a diameter of {size} is noted{change}.",
        "{where} {detail} nodule, {size}{change}.",
        "A {detail} nodular density of {size} lies in the {where}{change}.",
        "The {where} contains a {size} {detail} nodule{change}.",
        "A {detail} nodule of up to {size} was observed in the {where}{change}.",
    ),
    "Lung mass": (
        "A {detail} mass measuring {size} occupies the {where}{change}.",
        "There is a {size} {detail} mass in the {where}{change}.",
        "In the {where}, a large {detail} soft tissue mass of {size} is present{change}.",
        "{where} {detail} mass, {size} in longest diameter{change}.",
        "A {detail} mass lesion of {size} is observed in the {where}{change}.",
        "The {where} shows a {detail} mass with a longest diameter of {size}{change}.",
    ),
    "Consolidation": (
        "There is {degree} consolidation in the {where} with air bronchograms{change}.",
        "{degree} airspace consolidation is seen in the {where}{change}.",
        "A {degree} area of consolidation involves the {where}{change}.",
        "In the {where}, {degree} consolidation containing air bronchograms is noted{change}.",
        "The {where} shows {degree} consolidation{change}.",
        "{degree} consolidative change in the {where}{change}.",
        "Dense consolidation, {degree}, is present in the {where}{change}.",
    ),
    "Lung opacity": (
        "There is {degree} ground-glass opacity in the {where}{change}.",
        "{degree} ground-glass density increases are observed in the {where}{change}.",
        "In the {where}, {degree} ground-glass attenuation is seen{change}.",
        "The {where} shows {degree} ground-glass opacification{change}.",
        "{degree} hazy ground-glass change in the {where}{change}.",
        "Ground-glass opacity, {degree}, is present in the {where}{change}.",
    ),
    "Pleural effusion": (
        "There is a {degree} {side} pleural effusion, {size} deep{change}.",
        "A {degree} {side} pleural effusion measuring {size} in depth is present{change}.",
        "{degree} {side} pleural effusion{change}.",
        "Free pleural fluid is seen on the {side} with a thickness of {size}, {degree} in amount{change}.",
        "On the {side}, a {degree} pleural effusion layers posteriorly{change}.",
        "{side}-sided pleural effusion, {degree}, reaching {size}{change}.",
        "Pleural fluid on the {side} measures {size}{change}.",
    ),
    "Pneumothorax": (
        "There is a {degree} {side} pneumothorax, {size} at its widest{change}.",
        "A {degree} {side} pneumothorax is present{change}.",
        "{degree} pneumothorax on the {side} with a depth of {size}{change}.",
        "Free pleural air on the {side} in keeping with a {degree} pneumothorax{change}.",
        "{side}-sided pneumothorax measuring {size} anteriorly{change}.",
        "On the {side}, a {degree} anterior pneumothorax is seen{change}.",
    ),
    "Emphysema": (
        "{degree} {detail} emphysema with upper lobe predominance{change}.",
        "There is {degree} {detail} emphysema in both upper lobes{change}.",
        "{degree} emphysematous changes are observed in both lungs, {detail} in type{change}.",
        "Both lungs show {degree} {detail} emphysema{change}.",
        "{detail} emphysema of {degree} extent, most marked in the upper lobes{change}.",
        "Low-attenuation areas of {degree} {detail} emphysema are seen bilaterally{change}.",
    ),
    "Cardiomegaly": (
        "The heart is enlarged with a cardiothoracic ratio of {ratio}{change}.",
        "{degree} cardiomegaly, cardiothoracic ratio {ratio}{change}.",
        "There is {degree} cardiomegaly{change}.",
        "Heart size is increased, in keeping with {degree} cardiomegaly{change}.",
        "The cardiothoracic ratio is {ratio}, consistent with {degree} cardiomegaly{change}.",
        "{degree} enlargement of the heart{change}.",
        "Cardiomegaly is present (CTR {ratio}){change}.",
    ),
    "Atelectasis": (
        "There is {detail} atelectasis in the {where}{change}.",
        "{detail} atelectasis is seen in the {where}{change}.",
        "The {where} shows {detail} atelectasis{change}.",
        "In the {where}, {detail} atelectatic change is noted{change}.",
        "{where} atelectasis, {detail}{change}.",
        "Volume loss with {detail} atelectasis of the {where}{change}.",
    ),
    "Coronary artery wall calcification": (
        "{degree} coronary artery calcification involving the {detail}{change}.",
        "There are {degree} calcified plaques in the coronary arteries ({detail}){change}.",
        "Coronary artery wall calcifications are {degree}, in the {detail}{change}.",
        "{degree} calcific coronary atherosclerosis is seen ({detail}){change}.",
        "Calcifications are observed along the coronary arteries{change}.",
        "The coronary arteries show {degree} calcification{change}.",
    ),
    "Rib fracture": (
        "{detail} fracture of the {side} {rib}{change}.",
        "There is a {detail} fracture of the {side} {rib}{change}.",
        "The {side} {rib} shows a {detail} fracture{change}.",
        "A {detail} fracture line is seen in the {side} {rib}{change}.",
        "Osseous structures show a {detail} fracture at the {side} {rib}{change}.",
        "{side} {rib}: {detail} fracture{change}.",
    ),
    "Hiatal hernia": (
        "A {degree} hiatal hernia is present, measuring {size}{change}.",
        "There is a {degree} sliding hiatal hernia{change}.",
        "{degree} hiatal hernia with an air-fluid level behind the heart{change}.",
        "Herniation of the stomach through the hiatus, {size} ({degree} hiatal hernia){change}.",
        "A {size} hiatal hernia lies behind the heart{change}.",
        "Retrocardiac {degree} hiatal hernia is observed{change}.",
    ),
    "Lymphadenopathy": (
        "Mediastinal lymphadenopathy, the largest node in the {detail} station with a short axis of {size}{change}.",
        "There is lymphadenopathy with {detail} nodes of up to {size}{change}.",
        "Enlarged lymph nodes are seen, the largest {detail} measuring {size} in short axis{change}.",
        "{detail} lymphadenopathy of {size}{change}.",
        "Pathologically enlarged lymph nodes of up to {size} are present in the {detail} region{change}.",
        "An enlarged lymph node with a short axis of {size} lies in the {detail} station{change}.",
    ),
    "Arterial wall calcification": (
        "{degree} calcified plaques in the wall of the {detail}{change}.",
        "There are {degree} atherosclerotic calcifications of the {detail}{change}.",
        "{degree} calcific atheroma of the {detail}{change}.",
        "The {detail} shows {degree} wall calcification{change}.",
        "Calcification of the arterial wall is {degree} in the {detail}{change}.",
        "Aortic wall calcifications of {degree} extent are observed{change}.",
    ),
    "Pericardial effusion": (
        "There is a {degree} pericardial effusion measuring {size}{change}.",
        "A {degree} pericardial effusion is present{change}.",
        "Pericardial fluid with a thickness of {size} is seen{change}.",
        "{degree} pericardial effusion, {size} thick{change}.",
        "The pericardial space contains a {degree} amount of fluid, up to {size}{change}.",
        "Pericardial effusion reaching {size} is observed{change}.",
    ),
    "Medical material": (
        "{device} is in place{change}.",
        "{device} is noted{change}.",
        "{device} is present{change}.",
        "Medical material: {device}{change}.",
        "{device} is visualized{change}.",
        "{device} is seen in the expected position{change}.",
    ),
}

DEVICES = {
    "port": "A {side}-sided port catheter with its tip near the right atrium",
    "pacemaker": "A {side}-sided pacemaker with a lead to the right ventricle",
    "sternal wires": "A set of sternotomy wires",
    "central venous catheter": "A {side} central venous catheter with its tip in the superior vena cava",
}

BOTH_SIDES: dict[str, tuple[str, ...]] = {
    "Pleural effusion": (
        "Bilateral pleural effusions, {size_right} deep on the right and {size_left} on the left{change}.",
        "There are bilateral pleural effusions, {size_right} on the right and {size_left} on the left{change}.",
        "Pleural effusion is present on both sides, right {size_right}, left {size_left}{change}.",
        "Pleural fluid on both sides, {size_right} right and {size_left} left{change}.",
    ),
}

MORE_NODULES = (
    "{count} further nodules are smaller.",
    "{count} additional smaller nodules are also present.",
    "Another {count} smaller nodules are noted.",
)
ONE_MORE_NODULE = ("A further nodule measures {size} in the {where}.", "A second nodule of {size} is in the {where}.")

IMPRESSION: dict[str, tuple[str, ...]] = {
    "Lung nodule": (
        "{size} nodule in the {where}{change}.",
        "{where} pulmonary nodule, {size}{change}.",
        "Pulmonary nodule ({where}){change}.",
    ),
    "Lung mass": (
        "{where} mass of {size}{change}.",
        "{size} lung mass in the {where}, suspicious for malignancy{change}.",
    ),
    "Consolidation": (
        "{where} consolidation{change}.",
        "Consolidation of the {where}, infectious in appearance{change}.",
    ),
    "Lung opacity": (
        "Ground-glass opacity in the {where}{change}.",
        "{degree} ground-glass change of the {where}{change}.",
    ),
    "Pleural effusion": ("{degree} {side} pleural effusion{change}.", "{side} pleural effusion{change}."),
    "Pneumothorax": ("{degree} {side} pneumothorax{change}.", "{side} pneumothorax{change}."),
    "Emphysema": ("{degree} emphysema{change}.", "{detail} emphysema{change}."),
    "Cardiomegaly": ("Cardiomegaly{change}.", "{degree} cardiomegaly{change}."),
    "Atelectasis": ("{where} atelectasis{change}.", "{detail} atelectasis of the {where}{change}."),
    "Coronary artery wall calcification": (
        "{degree} coronary calcification{change}.",
        "Coronary artery calcification{change}.",
    ),
    "Rib fracture": ("{detail} {side} rib fracture{change}.", "Fracture of the {side} {rib}{change}."),
    "Hiatal hernia": ("{degree} hiatal hernia{change}.", "Hiatal hernia{change}."),
    "Lymphadenopathy": ("Lymphadenopathy, up to {size}{change}.", "Enlarged {detail} lymph nodes{change}."),
    "Arterial wall calcification": ("{degree} aortic calcification{change}.", "Calcified aortic plaques{change}."),
    "Pericardial effusion": ("{degree} pericardial effusion{change}.", "Pericardial effusion of {size}{change}."),
    "Medical material": ("{device}{change}.",),
}

CHANGES = {
    "new": (", new since the prior examination", ", new from the prior", ", not present on the prior study"),
    "unchanged": (", unchanged from the prior", ", stable since the prior examination", ", similar to the prior study"),
    "increased": (", increased from {prior} on the prior", ", previously {prior}", ", larger than the prior {prior}"),
    "decreased": (", decreased from {prior} on the prior", ", previously {prior}", ", smaller than the prior {prior}"),
}

DEGREES: dict[str, dict[str, tuple[str, ...]]] = {
    "": {"mild": ("mild", "slight"), "moderate": ("moderate",), "severe": ("severe", "marked")},
    "Pleural effusion": {"mild": ("small", "minimal"), "moderate": ("moderate",), "severe": ("large", "massive")},
    "Pneumothorax": {"mild": ("small",), "moderate": ("moderate",), "severe": ("large",)},
    "Pericardial effusion": {"mild": ("small", "minimal"), "moderate": ("moderate",), "severe": ("large",)},
    "Hiatal hernia": {"mild": ("small",), "moderate": ("moderate",), "severe": ("large",)},
    "Consolidation": {"mild": ("patchy", "focal"), "moderate": ("segmental", "moderate"), "severe": ("extensive",)},
    "Lung opacity": {"mild": ("mild", "faint"), "moderate": ("moderate",), "severe": ("extensive",)},
    "Arterial wall calcification": {"mild": ("mild",), "moderate": ("moderate",), "severe": ("extensive", "severe")},
}

CLINICAL = {
    "": (
        "Not given.",
        "Routine control.",
        "Dyspnea.",
        "Chest pain.",
        "Cough.",
        "Preoperative assessment.",
        "Follow-up.",
    ),
    "infection": ("Fever and cough.", "Suspected pneumonia.", "Productive cough for one week.", "Dyspnea and fever."),
    "malignancy": ("Weight loss.", "Staging.", "Known malignancy, follow-up.", "Hemoptysis."),
    "cardiac": ("Shortness of breath, leg edema.", "Heart failure.", "Dyspnea on exertion."),
    "trauma": ("Trauma.", "Fall from height.", "Traffic accident, chest pain."),
    "smoking": ("Smoker, cough.", "COPD.", "Chronic cough."),
}
CLINICAL_GROUP = {
    "Consolidation": "infection",
    "Lung opacity": "infection",
    "Lung mass": "malignancy",
    "Lymphadenopathy": "malignancy",
    "Cardiomegaly": "cardiac",
    "Pleural effusion": "cardiac",
    "Rib fracture": "trauma",
    "Pneumothorax": "trauma",
    "Emphysema": "smoking",
}

TECHNIQUE = (
    "Non-contrast chest CT with {slice} mm sections was obtained.",
    "Sections of {slice} mm thickness were taken without intravenous contrast.",
    "Unenhanced CT of the thorax, {slice} mm slices.",
    "Images were acquired in the axial plane without contrast material, {slice} mm slice thickness.",
)
