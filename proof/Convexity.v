(* SPDX-License-Identifier: Apache-2.0 *)
(** Convexity of the feasible set, of the cost term and of the objective. *)
From Coq Require Import Reals Arith Lra Lia FunctionalExtensionality.
From Thermoe Require Import ProblemStatement Sums Entropy.
Open Scope R_scope.

Theorem composition_convex : Composition_convex.
Proof.
  intros D phi C Hphi Hup HC a x y Ha Hx Hy.
  eapply Rle_trans; [apply Hup, (HC a x y Ha Hx Hy) |].
  now apply Hphi.
Qed.

Theorem feasible_set_convex : Feasible_set_convex.
Proof.
  intros p a x y Ha Hx Hy i Hi. destruct (Hx i Hi) as [Sx Bx], (Hy i Hi) as [Sy By]. split.
  - unfold mix. rewrite sum_plus, !sum_scale, Sx, Sy. ring.
  - intros e He. destruct (Bx e He) as [Rx Zx], (By e He) as [Ry Zy]. unfold mix. split; [nra |].
    intros H. rewrite Zx, Zy by assumption. ring.
Qed.

Lemma loads_mix p a x y : loads p (mix a x y) = mix a (loads p x) (loads p y).
Proof.
  extensionality l. extensionality e. unfold loads, mix.
  rewrite <- !sum_scale, <- sum_plus. apply sum_ext. intros. destruct (_ =? _)%nat; ring.
Qed.

Lemma loads_in_range p x : feasible p x -> in_range p (loads p x).
Proof.
  intros H l e Hl He. unfold interval, loads, tokens.
  split; [apply sum_nonneg | apply sum_le]; intros i Hi; destruct (H i Hi) as [_ B];
    destruct (B e He) as [R _]; destruct (_ =? _)%nat; lra.
Qed.

Lemma use_convex p r : sound p r -> convex (in_range p) (use p r).
Proof.
  intros (_ & _ & _ & Hc) a m n Ha Hm Hn. unfold use, mix.
  enough (sum2 (layers p) (experts p) (fun l e => unit_cost r l e (a * m l e + (1 - a) * n l e)) <=
          a * sum2 (layers p) (experts p) (fun l e => unit_cost r l e (m l e)) +
          (1 - a) * sum2 (layers p) (experts p) (fun l e => unit_cost r l e (n l e))) by lra.
  rewrite <- sum2_mix. apply sum2_le. intros l e Hl He. apply (Hc l e Hl He); auto.
Qed.

Theorem hardware_convex : Hardware_convex.
Proof.
  intros p count r H a m n Ha Hm Hn. unfold hardware.
  rewrite <- !sum_scale, <- sum_plus. apply sum_le. intros j Hj.
  pose proof (H j Hj) as Hs. destruct Hs as (Hw & Hphi & Hup & _).
  pose proof (composition_convex _ _ _ Hphi Hup (use_convex p _ (H j Hj)) a m n Ha Hm Hn) as L.
  cbv beta in L. apply (Rmult_le_compat_l _ _ _ Hw) in L. lra.
Qed.

(** What mixing saves of the entropy term at one entry. *)
Definition saved (a : R) (x y : matrix) : matrix :=
  fun i e => a * entropy (x i e) + (1 - a) * entropy (y i e) - entropy (mix a x y i e).

Lemma saved_nonneg p a x y i e : 0 <= a <= 1 -> feasible p x -> feasible p y ->
  (i < rows p)%nat -> (e < experts p)%nat -> 0 <= saved a x y i e.
Proof.
  intros Ha Hx Hy Hi He. destruct (proj2 (Hx i Hi) e He) as [Rx _], (proj2 (Hy i Hi) e He) as [Ry _].
  pose proof (entropy_convex a _ _ Ha Rx Ry). unfold saved, mix. lra.
Qed.

Lemma objective_mix p a x y :
  convex (in_range p) (cost p) -> 0 <= a <= 1 -> feasible p x -> feasible p y ->
  objective p (mix a x y) + tau p * sum2 (rows p) (experts p) (saved a x y) <=
  a * objective p x + (1 - a) * objective p y.
Proof.
  intros HF Ha Hx Hy.
  pose proof (HF a _ _ Ha (loads_in_range p x Hx) (loads_in_range p y Hy)) as F.
  rewrite <- loads_mix in F. unfold objective, saved.
  rewrite sum2_minus, sum2_mix.
  rewrite (sum2_ext _ _ (fun i e => u p i e * mix a x y i e)
             (fun i e => a * (u p i e * x i e) + (1 - a) * (u p i e * y i e)))
    by (intros; unfold mix; ring).
  rewrite sum2_mix. lra.
Qed.

Theorem objective_convex : Objective_convex.
Proof.
  intros p HF Htau a x y Ha Hx Hy. pose proof (objective_mix p a x y HF Ha Hx Hy) as M.
  assert (0 <= sum2 (rows p) (experts p) (saved a x y)) as S
    by (apply sum_nonneg; intros; apply sum_nonneg; intros; eapply saved_nonneg; eauto).
  pose proof (Rmult_le_pos _ _ Htau S). lra.
Qed.

Theorem objective_strictly_convex : Objective_strictly_convex.
Proof.
  intros p a x y HF Htau Ha Hx Hy Hne.
  assert (0 <= a <= 1) as Ha' by lra.
  pose proof (objective_mix p a x y HF Ha' Hx Hy) as M.
  destruct (Rlt_le_dec 0 (sum2 (rows p) (experts p) (saved a x y))) as [S | S].
  - pose proof (Rmult_lt_0_compat _ _ Htau S). lra.
  - exfalso. apply Hne. intros i e Hi He.
    pose proof (sum2_vanishes _ _ _ (fun i e => saved_nonneg p a x y i e Ha' Hx Hy) S i e Hi He) as Z.
    destruct (Req_dec (x i e) (y i e)) as [E | D]; [exact E | exfalso].
    destruct (proj2 (Hx i Hi) e He) as [Rx _], (proj2 (Hy i Hi) e He) as [Ry _].
    pose proof (entropy_strictly_convex a _ _ Ha Rx Ry D). unfold saved, mix in Z. lra.
Qed.

Lemma same_dec p x y : {same p x y} + {~ same p x y}.
Proof.
  set (d := sum2 (rows p) (experts p) (fun i e => Rabs (x i e - y i e))).
  destruct (Rlt_le_dec 0 d) as [P | N]; [right | left].
  - intros S. apply (Rlt_irrefl 0). apply (Rlt_le_trans _ _ _ P). unfold d.
    rewrite (sum2_ext _ _ _ (fun _ _ => 0 * 0)), sum2_scale; [lra |].
    intros i e Hi He. rewrite (S i e Hi He). unfold Rminus. rewrite Rplus_opp_r, Rabs_R0. ring.
  - intros i e Hi He.
    pose proof (sum2_vanishes _ _ (fun i e => Rabs (x i e - y i e)) (fun _ _ _ _ => Rabs_pos _) N i e Hi He) as Z.
    cbv beta in Z. destruct (Req_dec (x i e - y i e) 0) as [E | D]; [lra |].
    exfalso. exact (Rabs_no_R0 _ D Z).
Qed.

Theorem at_most_one_minimiser : At_most_one_minimiser.
Proof.
  intros p x y HF Htau [Fx Mx] [Fy My]. destruct (same_dec p x y) as [S | D]; [exact S | exfalso].
  assert (0 < 1 / 2 < 1) as Ha by lra.
  pose proof (objective_strictly_convex p (1 / 2) x y HF Htau Ha Fx Fy D) as C.
  assert (feasible p (mix (1 / 2) x y)) as Fm by (apply feasible_set_convex; auto; lra).
  pose proof (Mx _ Fm). pose proof (My _ Fx). lra.
Qed.
