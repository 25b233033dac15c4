"""The wording of what is absent, normal or gone: negations, normal statements, resolved findings."""

from __future__ import annotations

NEGATIVE: dict[str, tuple[str, ...]] = {
    "Lung nodule": (
        "No pulmonary nodule is detected.",
        "No suspicious nodules.",
        "The lungs are free of nodules.",
        "No nodule is observed in either lung.",
    ),
    "Lung mass": (
        "No pulmonary mass.",
        "No mass lesion is detected in either lung.",
        "There is no lung mass.",
        "The lungs are free of masses.",
    ),
    "Consolidation": (
        "No consolidation.",
        "There is no airspace consolidation.",
        "The lungs are free of consolidation.",
        "No area of consolidation is seen.",
    ),
    "Lung opacity": (
        "No ground-glass opacity.",
        "There is no ground-glass change.",
        "The lungs are free of ground-glass opacity.",
        "Ground-glass attenuation is absent.",
    ),
    "Pleural effusion": (
        "No pleural effusion.",
        "There is no pleural effusion on either side.",
        "The pleural spaces are free of pleural fluid.",
        "Pleural effusion is not detected.",
    ),
    "Pneumothorax": (
        "No pneumothorax.",
        "There is no pneumothorax.",
        "Pneumothorax is not seen.",
        "No evidence of pneumothorax on either side.",
    ),
    "Emphysema": (
        "No emphysema.",
        "There is no emphysematous change.",
        "The lungs are without emphysema.",
        "Emphysema is absent.",
    ),
    "Cardiomegaly": (
        "The heart is not enlarged.",
        "No cardiomegaly.",
        "Heart size is normal without cardiomegaly.",
        "There is no cardiomegaly, cardiothoracic ratio {ratio}.",
    ),
    "Atelectasis": (
        "No atelectasis.",
        "There is no atelectasis.",
        "The lungs are fully expanded without atelectasis.",
        "No atelectatic change is seen.",
    ),
    "Coronary artery wall calcification": (
        "No coronary calcification.",
        "The coronary arteries are without calcification.",
        "There is no coronary artery calcification.",
        "Coronary calcification is not detected.",
    ),
    "Rib fracture": (
        "No rib fracture.",
        "There is no fracture of the ribs.",
        "The ribs are without fracture.",
        "No acute fracture is seen.",
    ),
    "Hiatal hernia": (
        "No hiatal hernia.",
        "There is no hiatal hernia.",
        "A hiatal hernia is not seen.",
        "No evidence of hiatal hernia.",
    ),
    "Lymphadenopathy": (
        "No mediastinal lymphadenopathy.",
        "There are no enlarged lymph nodes.",
        "No pathologically enlarged lymph nodes were observed.",
        "The mediastinum is without lymphadenopathy.",
    ),
    "Arterial wall calcification": (
        "No aortic calcification.",
        "There is no calcification of the aortic wall.",
        "The thoracic aorta is without calcified plaque.",
        "Aortic wall calcification is absent.",
    ),
    "Pericardial effusion": (
        "No pericardial effusion.",
        "There is no pericardial effusion.",
        "The pericardium is normal, without pericardial fluid.",
        "Pericardial effusion is not detected.",
    ),
    "Medical material": (
        "No catheter or implanted device.",
        "There are no implanted devices.",
        "No medical device is present.",
        "Implanted devices are absent.",
    ),
}

NORMAL_IMPRESSION = (
    "No acute cardiopulmonary abnormality.",
    "Normal chest CT.",
    "Examination within normal limits.",
    "No significant abnormality in the chest.",
    "Normal study.",
)

LUNG_FINDINGS = ("Lung nodule", "Lung mass", "Consolidation", "Lung opacity", "Atelectasis", "Emphysema")
HEART_FINDINGS = (
    "Cardiomegaly", "Pericardial effusion", "Arterial wall calcification", "Coronary artery wall calcification",
)  # fmt: skip

# By topic: sentences that are true of every simulated patient in whom the listed findings are absent
NORMAL: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "airways": (
        ("The trachea and main bronchi are patent.", ()),
        ("Trachea and both main bronchi are open.", ()),
        ("The central airways are unremarkable.", ()),
    ),
    "abdomen": (
        ("The liver dome and the spleen are unremarkable.", ()),
        ("Upper abdominal organs in the section are normal.", ("Hiatal hernia",)),
        ("The visible upper abdomen shows normal liver and spleen.", ()),
    ),
    "vessels": (
        ("The thoracic aorta is of normal caliber.", ()),
        ("The pulmonary trunk is of normal width.", ()),
        ("Calibration of the main vascular structures is natural.", ()),
    ),
    "spine": (
        ("The vertebral bodies are of normal height.", ()),
        ("Vertebral corpus heights are preserved.", ()),
        ("Bone structures in the section are intact.", ("Rib fracture",)),
    ),
    "mediastinum": (
        ("The mediastinum is unremarkable.", ("Lymphadenopathy", "Hiatal hernia", *HEART_FINDINGS)),
        ("The esophagus is of normal caliber.", ("Hiatal hernia",)),
    ),
    "heart": (("The heart and great vessels have a normal appearance.", HEART_FINDINGS),),
    "lungs": (
        ("Both lungs are clear.", LUNG_FINDINGS),
        ("Lung parenchyma is of normal attenuation.", LUNG_FINDINGS),
        ("Aeration of both lungs is normal.", (*LUNG_FINDINGS, "Pneumothorax", "Pleural effusion")),
    ),
    "pleura": (("The pleura is normal on both sides.", ("Pleural effusion", "Pneumothorax")),),
}

RESOLVED = (
    "The {what} of the prior examination has resolved.",
    "The {what} seen previously is no longer present.",
    "Interval resolution: {what} not seen any more.",
)
RESOLVED_NAMES = {
    "Pleural effusion": "pleural effusion",
    "Consolidation": "consolidation",
    "Lung opacity": "ground-glass opacity",
    "Pneumothorax": "pneumothorax",
    "Atelectasis": "atelectasis",
}
